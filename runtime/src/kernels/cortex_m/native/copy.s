@ Copies of short runs, for all Cortex-M.

@ (from r0, stride r1, to r2, pixels r3): copies 16 bytes of each pixel; `to` is aligned to words.
FUNCTION fixnet_cortex_m_copy
    push    {r4-r7, lr}
    orr     r4, r0, r1
    tst     r4, #3
    bne     2f
1:
    ldm     r0, {r4-r7}
    add     r0, r0, r1
    stm     r2!, {r4-r7}
    subs    r3, r3, #1
    bne     1b
    pop     {r4-r7, pc}
2:
    ldr     r4, [r0]
    ldr     r5, [r0, #4]
    ldr     r6, [r0, #8]
    ldr     r7, [r0, #12]
    add     r0, r0, r1
    stm     r2!, {r4-r7}
    subs    r3, r3, #1
    bne     2b
    pop     {r4-r7, pc}

@ (from r0, pitch r1, to r2, run r3, rows): copies runs one behind the other, in words, the last of which
@ may reach three bytes behind a run; zeros are the four bytes behind all.
FUNCTION fixnet_cortex_m_gather
    push    {r4-r8, lr}
    ldr     r8, [sp, #24]
1:
    mov     r4, r0
    mov     r5, r2
    mov     r6, r3
2:
    ldr     r7, [r4], #4
    str     r7, [r5], #4
    subs    r6, r6, #4
    bgt     2b
    add     r0, r0, r1
    add     r2, r2, r3
    subs    r8, r8, #1
    bne     1b
    str     r8, [r2]
    pop     {r4-r8, pc}
