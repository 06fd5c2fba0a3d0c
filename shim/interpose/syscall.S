// syscall(): all but futexes is a jump to libc's.
//
// Assembly, because the seventh word lies in the caller's frame: a C function that passes it on may
// store it there again, and if the caller passed fewer words that place is a variable of its own,
// perhaps one that another thread has just changed.
        .text
        .globl  syscall
        .type   syscall, @function
#if defined(__x86_64__)
syscall:
        .cfi_startproc
        endbr64
        cmpq    $202, %rdi                      /* SYS_futex */
        je      1f
        movq    forkmend_real_syscall(%rip), %rax
        testq   %rax, %rax
        je      2f
        jmp     *%rax
        /* Constructors of other libraries call before ours has run: libc's own sequence. */
2:      movq    %rdi, %rax
        movq    %rsi, %rdi
        movq    %rdx, %rsi
        movq    %rcx, %rdx
        movq    %r8, %r10
        movq    %r9, %r8
        movq    8(%rsp), %r9
        syscall
        cmpq    $-4095, %rax
        jae     3f
        ret
3:      negq    %rax
        pushq   %rax
        .cfi_adjust_cfa_offset 8
        call    __errno_location@PLT
        popq    %rcx
        .cfi_adjust_cfa_offset -8
        movl    %ecx, (%rax)
        movq    $-1, %rax
        ret
        /* forkmend_futex(a, b, c, d, e, f, caller): the words after the number, and who called. */
1:      movq    (%rsp), %rax
        movq    8(%rsp), %r10
        movq    %rsi, %rdi
        movq    %rdx, %rsi
        movq    %rcx, %rdx
        movq    %r8, %rcx
        movq    %r9, %r8
        movq    %r10, %r9
        pushq   %rax
        .cfi_adjust_cfa_offset 8
        call    forkmend_futex
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        ret
        .cfi_endproc
#elif defined(__aarch64__)
        /* All words are in registers: n, a … f in x0 to x6. */
syscall:
        .cfi_startproc
        cmp     x0, #98                         /* SYS_futex */
        b.eq    1f
        adrp    x16, forkmend_real_syscall
        ldr     x16, [x16, #:lo12:forkmend_real_syscall]
        cbz     x16, 2f
        br      x16
2:      b       forkmend_early_syscall
1:      mov     x0, x1
        mov     x1, x2
        mov     x2, x3
        mov     x3, x4
        mov     x4, x5
        mov     x5, x6
        mov     x6, x30
        b       forkmend_futex
        .cfi_endproc
#endif
        .size   syscall, .-syscall
        .section .note.GNU-stack,"",@progbits
