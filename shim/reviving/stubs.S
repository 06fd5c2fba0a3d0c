/* What the slots of declared enqueue symbols lead to; see declared.h. One stub a symbol: while
   nothing is lost it is a load and two jumps, and touches a register that no argument is in.

   Else every register that an argument may be in is saved (the vector registers in full: the code
   in between calls libc, which zeroes their upper halves), and the function is entered by a jump, so
   that its arguments on the stack and its return address lie where they lay. */
#define STUBS 64                                /* kMaxStubs */
#define NO_ENQUEUE _ZN8forkmend10armed_pageE+8  /* ArmedPage::no_enqueue */
        .text
        .globl  forkmend_declared_stubs
        .hidden forkmend_declared_stubs
        .hidden forkmend_declared_real
        .hidden forkmend_declared_called
        .hidden forkmend_declared_saves_vectors
        .hidden _ZN8forkmend10armed_pageE
        .type   forkmend_declared_stubs, @function
        .type   forkmend_declared_slow, @function
#if defined(__x86_64__)
        .p2align 5
forkmend_declared_stubs:
        .cfi_startproc
        .set    index, 0
        .rept   STUBS
        .p2align 5
        endbr64
        cmpl    $0, NO_ENQUEUE(%rip)
        je      1f
        jmp     *(forkmend_declared_real + 8 * index)(%rip)
1:      movl    $index, %r11d
        jmp     forkmend_declared_slow
        .set    index, index + 1
        .endr
        .p2align 5
        .cfi_endproc
        .size   forkmend_declared_stubs, .-forkmend_declared_stubs

        /* XSAVE's area: what ld.so keeps when it binds a function (SSE, AVX, bounds, AVX-512) ends
           at 2688 in the standard format. */
#define AREA 2752
#define COMPONENTS 0xee
forkmend_declared_slow:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_offset 6, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register 6
        pushq   %rdi
        pushq   %rsi
        pushq   %rdx
        pushq   %rcx
        pushq   %r8
        pushq   %r9
        pushq   %rax                            /* number of vector arguments of a variadic call */
        pushq   %r10                            /* static chain */
        pushq   %r11                            /* -72(%rbp) */
        subq    $AREA, %rsp
        andq    $-64, %rsp
        cmpl    $0, forkmend_declared_saves_vectors(%rip)
        je      1f
        xorl    %edx, %edx
        movq    %rdx, 512(%rsp)                 /* the header, of which XSAVE writes a part */
        movq    %rdx, 520(%rsp)
        movq    %rdx, 528(%rsp)
        movq    %rdx, 536(%rsp)
        movq    %rdx, 544(%rsp)
        movq    %rdx, 552(%rsp)
        movq    %rdx, 560(%rsp)
        movq    %rdx, 568(%rsp)
        movl    $COMPONENTS, %eax
        xsave   (%rsp)
        jmp     2f
1:      fxsave  (%rsp)
2:      movl    %r11d, %edi
        movq    8(%rbp), %rsi
        call    forkmend_declared_called
        cmpl    $0, forkmend_declared_saves_vectors(%rip)
        je      3f
        movl    $COMPONENTS, %eax
        xorl    %edx, %edx
        xrstor  (%rsp)
        jmp     4f
3:      fxrstor (%rsp)
4:      movq    -72(%rbp), %r11
        leaq    forkmend_declared_real(%rip), %rax
        movq    (%rax,%r11,8), %r11
        leaq    -64(%rbp), %rsp
        popq    %r10
        popq    %rax
        popq    %r9
        popq    %r8
        popq    %rcx
        popq    %rdx
        popq    %rsi
        popq    %rdi
        popq    %rbp
        .cfi_def_cfa 7, 8
        .cfi_restore 6
        jmp     *%r11
        .cfi_endproc
        .size   forkmend_declared_slow, .-forkmend_declared_slow
#elif defined(__aarch64__)
        .p2align 6
forkmend_declared_stubs:
        .cfi_startproc
        .set    index, 0
        .rept   STUBS
        .p2align 6
        hint    #34                             /* bti c */
        adrp    x16, NO_ENQUEUE
        ldr     w17, [x16, #:lo12:NO_ENQUEUE]
        cbz     w17, 1f
        adrp    x16, forkmend_declared_real + 8 * index
        ldr     x16, [x16, #:lo12:forkmend_declared_real + 8 * index]
        br      x16
1:      mov     w17, #index
        b       forkmend_declared_slow
        .set    index, index + 1
        .endr
        .p2align 6
        .cfi_endproc
        .size   forkmend_declared_stubs, .-forkmend_declared_stubs

        /* Not the upper parts of SVE's registers. */
        .macro  ARGUMENTS pair                  /* stp: keeps them; ldp: brings them back */
        \pair   x0, x1, [sp, #16]
        \pair   x2, x3, [sp, #32]
        \pair   x4, x5, [sp, #48]
        \pair   x6, x7, [sp, #64]
        \pair   x8, x17, [sp, #80]
        \pair   q0, q1, [sp, #96]
        \pair   q2, q3, [sp, #128]
        \pair   q4, q5, [sp, #160]
        \pair   q6, q7, [sp, #192]
        .endm
forkmend_declared_slow:
        .cfi_startproc
        stp     x29, x30, [sp, #-240]!
        .cfi_def_cfa_offset 240
        .cfi_offset 29, -240
        .cfi_offset 30, -232
        mov     x29, sp
        ARGUMENTS stp
        mov     w0, w17
        mov     x1, x30
        bl      forkmend_declared_called
        ARGUMENTS ldp
        adrp    x16, forkmend_declared_real
        add     x16, x16, #:lo12:forkmend_declared_real
        ldr     x16, [x16, x17, lsl #3]
        ldp     x29, x30, [sp], #240
        .cfi_restore 30
        .cfi_restore 29
        .cfi_def_cfa_offset 0
        br      x16
        .cfi_endproc
        .size   forkmend_declared_slow, .-forkmend_declared_slow
#endif
        .section .note.GNU-stack,"",@progbits
