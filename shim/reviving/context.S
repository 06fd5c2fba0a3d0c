/* See context.h. Offsets are those of struct Context. */
        .text
        .globl  forkmend_save_context_and_call
        .hidden forkmend_save_context_and_call
        .type   forkmend_save_context_and_call, @function
        .globl  forkmend_resume_context
        .hidden forkmend_resume_context
        .type   forkmend_resume_context, @function
#if defined(__x86_64__)
forkmend_save_context_and_call:
        .cfi_startproc
        endbr64
        movq    %rbx, 0(%rdx)
        movq    %rbp, 8(%rdx)
        movq    %r12, 16(%rdx)
        movq    %r13, 24(%rdx)
        movq    %r14, 32(%rdx)
        movq    %r15, 40(%rdx)
        movq    %rsp, 48(%rdx)                  /* at the return address */
        stmxcsr 56(%rdx)
        fnstcw  60(%rdx)
        movq    %rdi, %rax
        movq    %rsi, %rdi
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        call    *%rax
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        xorl    %eax, %eax
        ret
        .cfi_endproc
        .size   forkmend_save_context_and_call, .-forkmend_save_context_and_call

forkmend_resume_context:
        endbr64
        ldmxcsr 56(%rdi)
        fldcw   60(%rdi)
        movq    0(%rdi), %rbx
        movq    8(%rdi), %rbp
        movq    16(%rdi), %r12
        movq    24(%rdi), %r13
        movq    32(%rdi), %r14
        movq    40(%rdi), %r15
        movq    48(%rdi), %rsp
        movl    $14, %eax                       /* rt_sigprocmask(SIG_SETMASK, mask, 0, 8) */
        movl    $2, %edi
        xorl    %edx, %edx
        movl    $8, %r10d
        syscall
        movl    $1, %eax
        ret
        .size   forkmend_resume_context, .-forkmend_resume_context
#elif defined(__aarch64__)
/* A call and no more: nothing is resumed here. */
forkmend_save_context_and_call:
        .cfi_startproc
        stp     x29, x30, [sp, #-16]!
        .cfi_def_cfa_offset 16
        .cfi_offset 29, -16
        .cfi_offset 30, -8
        mov     x29, sp
        mov     x9, x0
        mov     x0, x1
        blr     x9
        mov     x0, #0
        ldp     x29, x30, [sp], #16
        .cfi_restore 30
        .cfi_restore 29
        .cfi_def_cfa_offset 0
        ret
        .cfi_endproc
        .size   forkmend_save_context_and_call, .-forkmend_save_context_and_call

forkmend_resume_context:
        brk     #0
        .size   forkmend_resume_context, .-forkmend_resume_context
#endif
        .section .note.GNU-stack,"",@progbits
