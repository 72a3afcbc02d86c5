@ Direct convolution for Cortex-M4 and M7: tiles of 2 pixels and 2 output channels by SMLAD.
@
@ A patch holds the windows of two neighbouring output pixels, widened to 16 bits. Every four elements
@ k of both windows are 16 bytes, a step: (k0, k2) and (k1, k3) of the first pixel, then of the second.
@ This is the order in which SXTB16 leaves the bytes of a word.
@
@ Registers of a tile:
@   r0-r3   accumulators: pixel 0 channel 0, pixel 0 channel 1, pixel 1 channel 0, pixel 1 channel 1
@   r4-r7   values: pixel 0 (two words), pixel 1 (two words)
@   r8-r11  weights, and what is left of a pointer to more of them
@   r12     patch     lr   weights
@
@ The frame is a copy of the arguments, `DirectCall` in cortex_m4.rs; the fields' offsets:

.equ DIRECT_PATCH, 0
.equ DIRECT_PATCH_END, 4
.equ DIRECT_WEIGHTS, 8
.equ DIRECT_BIAS, 12
.equ DIRECT_MULTIPLIERS, 16
.equ DIRECT_OUTPUT, 20          @ of two pixels; then shift, offset, fraction bits, residual multiplier
.equ DIRECT_OUTPUT_END, 44
.equ DIRECT_ENTRY, 48           @ bytes of the unrolled steps to skip first, then their address
.equ DIRECT_FRAME, 52

@ Four products of two pixels and two channels with weights in 16 bits: 10 instructions, 16 products.
.macro M4_STEP_16 first=smlad
    ldm     r12!, {r4-r7}
    ldm     lr!, {r8-r11}
    M4_PAIR \first, r0, r4, r8
    M4_PAIR \first, r1, r4, r10
    M4_PAIR \first, r2, r6, r8
    M4_PAIR \first, r3, r6, r10
    smlad   r0, r5, r9, r0
    smlad   r1, r5, r11, r1
    smlad   r2, r7, r9, r2
    smlad   r3, r7, r11, r3
.endm

@ SMLAD to the sum, or SMUAD where it begins.
.macro M4_PAIR op, sum, x, w
    .ifc \op, smuad
    smuad   \sum, \x, \w
    .else
    smlad   \sum, \x, \w, \sum
    .endif
.endm

@ The same with a channel's weight in the low byte of a halfword whose value is 256 times the next
@ channel's weight plus this one's: r0 and r2 sum the first channel, r1 and r3 256 times the second plus
@ the first.
.macro M4_STEP_8
    ldm     r12!, {r4-r7}
    ldrd    r9, r11, [lr], #8
    sxtb16  r8, r9
    sxtb16  r10, r11
    smlad   r0, r4, r8, r0
    smlad   r1, r4, r9, r1
    smlad   r2, r6, r8, r2
    smlad   r3, r6, r9, r3
    smlad   r0, r5, r10, r0
    smlad   r1, r5, r11, r1
    smlad   r2, r7, r10, r2
    smlad   r3, r7, r11, r3
.endm

@ Every steps' instructions have 4 bytes, so a sum of any length begins inside the unrolled ones.
.equ M4_UNROLLED, 12

.macro M4_DIRECT_BEGIN
    push    {r4-r11, lr}
    sub     sp, sp, #DIRECT_FRAME
    ldm     r0!, {r1-r12}
    stm     sp, {r1-r12}
    ldr     r1, [r0]
    adr.w   r2, 2f
    add     r1, r1, r2
    orr     r1, r1, #1
    str     r1, [sp, #DIRECT_ENTRY]
    ldr     lr, [sp, #DIRECT_WEIGHTS]
1:
.endm

@ Both channels' biases to the sums.
.macro M4_DIRECT_BIAS
    ldr     r4, [sp, #DIRECT_BIAS]
    ldrd    r0, r1, [r4], #8
    str     r4, [sp, #DIRECT_BIAS]
    mov     r2, r0
    mov     r3, r1
.endm

.macro M4_DIRECT_SUM step:vararg
    ldr     r12, [sp, #DIRECT_PATCH]
    ldr     pc, [sp, #DIRECT_ENTRY]
    .balign 4
2:
    .rept   M4_UNROLLED
    \step
    .endr
    ldr     r4, [sp, #DIRECT_PATCH_END]
    cmp     r12, r4
    bne.w   2b
.endm

@ floor((sum << shift) * multiplier / 2^32) + offset, and residual * its multiplier, in fixed point.
@ Two channels of two pixels, then the next pair of channels.
.macro M4_DIRECT_END
    ldr     r12, [sp, #DIRECT_MULTIPLIERS]
    ldrd    r10, r11, [r12], #8
    str     r12, [sp, #DIRECT_MULTIPLIERS]
    add     r12, sp, #DIRECT_OUTPUT
    ldm     r12, {r4-r9}            @ two outputs, shift, offset, fraction bits, residual multiplier
    lsl     r0, r0, r6
    lsl     r1, r1, r6
    lsl     r2, r2, r6
    lsl     r3, r3, r6
    smmla   r0, r0, r10, r7
    smmla   r1, r1, r11, r7
    smmla   r2, r2, r10, r7
    smmla   r3, r3, r11, r7
    cmp     r9, #0
    beq     3f
    ldrsb   r10, [r4]
    ldrsb   r11, [r4, #1]
    mla     r0, r10, r9, r0
    mla     r1, r11, r9, r1
    ldrsb   r10, [r5]
    ldrsb   r11, [r5, #1]
    mla     r2, r10, r9, r2
    mla     r3, r11, r9, r3
3:
    asr     r0, r0, r8
    asr     r1, r1, r8
    asr     r2, r2, r8
    asr     r3, r3, r8
    ssat    r0, #8, r0
    ssat    r1, #8, r1
    ssat    r2, #8, r2
    ssat    r3, #8, r3
    strb    r0, [r4], #1
    strb    r1, [r4], #1
    strb    r2, [r5], #1
    strb    r3, [r5], #1
    strd    r4, r5, [sp, #DIRECT_OUTPUT]
    ldr     r6, [sp, #DIRECT_OUTPUT_END]
    cmp     r4, r6
    bne.w   1b
    add     sp, sp, #DIRECT_FRAME
    pop     {r4-r11, pc}
.endm

FUNCTION fixnet_m4_direct16
    M4_DIRECT_BEGIN
    M4_DIRECT_BIAS
    M4_DIRECT_SUM M4_STEP_16
    M4_DIRECT_END

FUNCTION fixnet_m4_direct8
    M4_DIRECT_BEGIN
    ldr     r4, [sp, #DIRECT_BIAS]
    ldr     r0, [r4]
    mov     r1, r0
    mov     r2, r0
    mov     r3, r0
    M4_DIRECT_SUM M4_STEP_8
    ldr     r4, [sp, #DIRECT_BIAS]
    ldr     r5, [r4, #4]
    adds    r4, r4, #8
    str     r4, [sp, #DIRECT_BIAS]
    sub     r1, r1, r0              @ 256 times the second channel's sum: exact, as the layout's bound says
    sub     r3, r3, r2
    add     r1, r5, r1, asr #8
    add     r3, r5, r3, asr #8
    M4_DIRECT_END

.macro M4_WIDEN
    ldr     r4, [r0], #4
    ldr     r6, [r1], #4
    sxtb16  r5, r4, ror #8
    sxtb16  r4, r4
    sxtb16  r7, r6, ror #8
    sxtb16  r6, r6
    stm     r2!, {r4-r7}
.endm

@ (first r0, second r1, patch r2, steps r3, gap, rows): widens rows of `steps` steps of two windows.
@ From the end of a row to the next there are `gap` bytes.
FUNCTION fixnet_m4_widen
    push    {r4-r9, lr}
    ldrd    r8, r9, [sp, #28]
1:
    subs    r12, r3, #4
    blo     3f
2:
    .rept   4
    M4_WIDEN
    .endr
    subs    r12, r12, #4
    bhs     2b
3:
    adds    r12, r12, #4
    beq     5f
4:
    M4_WIDEN
    subs    r12, r12, #1
    bne     4b
5:
    add     r0, r0, r8
    add     r1, r1, r8
    subs    r9, r9, #1
    bne     1b
    pop     {r4-r9, pc}

@ Weights in rows of bytes: tiles of 4 pixels and 1 output channel. A step of a patch is (k0, k2) of all
@ four pixels, then (k1, k3). r0-r3 are the pixels' sums, r4-r7 their values, r8 and r9 weights.
@ 13 instructions of 4 bytes, 16 products.
.macro M4_STEP_ROWS
    ldm     r12!, {r4-r7}
    ldr     r9, [lr], #4
    sxtb16  r8, r9
    sxtb16  r9, r9, ror #8
    smlad   r0, r4, r8, r0
    smlad   r1, r5, r8, r1
    smlad   r2, r6, r8, r2
    smlad   r3, r7, r8, r3
    ldm     r12!, {r4-r7}
    smlad   r0, r4, r9, r0
    smlad   r1, r5, r9, r1
    smlad   r2, r6, r9, r2
    smlad   r3, r7, r9, r3
.endm

.macro M4_SCALE sum
    lsl     \sum, \sum, r9
    smmla   \sum, \sum, r8, r10
.endm

@ (call r0): some output channels of four pixels.
FUNCTION fixnet_m4_direct_rows
    ROWS_BEGIN
1:
    ldr     r4, [sp, #ROWS_BIAS]
    ldr     r0, [r4], #4
    str     r4, [sp, #ROWS_BIAS]
    mov     r1, r0
    mov     r2, r0
    mov     r3, r0
    ldr     r12, [sp, #ROWS_PATCH]
    ldr     pc, [sp, #ROWS_ENTRY]
    .balign 4
2:
    .rept   M4_UNROLLED
    M4_STEP_ROWS
    .endr
    ldr     r4, [sp, #ROWS_PATCH_END]
    cmp     r12, r4
    bne.w   2b
    ldr     r4, [sp, #ROWS_ROW_EXCESS]
    sub     lr, lr, r4
    ROWS_END M4_SCALE

.macro M4_WIDEN_ROWS
    sxtb16  r8, r4
    sxtb16  r9, r5
    sxtb16  r10, r6
    sxtb16  r11, r7
    stm     lr!, {r8-r11}
    sxtb16  r4, r4, ror #8
    sxtb16  r5, r5, ror #8
    sxtb16  r6, r6, ror #8
    sxtb16  r7, r7, ror #8
    stm     lr!, {r4-r7}
.endm

@ (call r0): see ROWS_WIDEN.
FUNCTION fixnet_m4_widen_rows
    ROWS_WIDEN M4_WIDEN_ROWS
