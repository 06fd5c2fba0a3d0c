// vfork is left alone but noted: its child runs on the parent's stack and memory, so that the call
// must be a jump, and nothing of the shim's may take the child for a forked one.
//
// forkmend_vforks counts the calls; forkmend_real_vfork is filled in by the constructor, and until
// then the raw system call does the same.
        .text
        .globl  vfork
        .type   vfork, @function
#if defined(__x86_64__)
vfork:
        .cfi_startproc
        endbr64
        lock incl forkmend_vforks(%rip)
        movq    forkmend_real_vfork(%rip), %rax
        testq   %rax, %rax
        je      1f
        jmp     *%rax
1:      popq    %rdi
        movl    $58, %eax
        syscall
        pushq   %rdi
        ret
        .cfi_endproc
#elif defined(__aarch64__)
vfork:
        .cfi_startproc
        adrp    x16, forkmend_real_vfork
        ldr     x16, [x16, #:lo12:forkmend_real_vfork]
        cbz     x16, 1f
        br      x16
1:      mov     x0, #0x4111
        mov     x1, #0
        mov     x8, #220
        svc     #0
        ret
        .cfi_endproc
#endif
        .size   vfork, .-vfork
        .section .note.GNU-stack,"",@progbits
