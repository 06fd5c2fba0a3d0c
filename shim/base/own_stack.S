/* See own_stack.cc. Unwinders find the way back by the frame pointer; a shadow stack (CET) sees calls and returns in pairs. */
        .text
        .globl  forkmend_call_on_stack
        .hidden forkmend_call_on_stack
        .type   forkmend_call_on_stack, @function
forkmend_call_on_stack:
        .cfi_startproc
#if defined(__x86_64__)
        endbr64
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        movq    %rsp, (%rcx)
        movq    %rdx, %rsp
        movq    %rdi, %rax
        movq    %rsi, %rdi
        call    *%rax
        movq    %rbp, %rsp
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        ret
#elif defined(__aarch64__)
        stp     x29, x30, [sp, #-16]!
        .cfi_def_cfa_offset 16
        .cfi_offset 29, -16
        .cfi_offset 30, -8
        mov     x29, sp
        .cfi_def_cfa_register 29
        str     x29, [x3]
        mov     sp, x2
        mov     x9, x0
        mov     x0, x1
        blr     x9
        mov     sp, x29
        .cfi_def_cfa_register 31
        ldp     x29, x30, [sp], #16
        .cfi_restore 30
        .cfi_restore 29
        .cfi_def_cfa_offset 0
        ret
#endif
        .cfi_endproc
        .size   forkmend_call_on_stack, .-forkmend_call_on_stack
        .section .note.GNU-stack,"",@progbits
