// The Python part of the bridge, as text: it is compiled by the interpreter it runs in.
    .section .rodata
    .macro source name
    .globl forkmend_python_\name
    .hidden forkmend_python_\name
    .type forkmend_python_\name, %object
forkmend_python_\name:
    .incbin "shim/python/bridge/\name\().py"
    .byte 0
    .size forkmend_python_\name, . - forkmend_python_\name
    .endm

    source watch
    source reach
    source locks
    source queues
    source clients
    source cure
    source evidence
    source sections
    source explain

    .section .note.GNU-stack, "", %progbits
