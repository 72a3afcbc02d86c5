@ Depthwise convolutions: a row of pixels, four channels at a time.
@
@ Registers of four channels:
@   r0-r3   sums                r4, r10   the next tap's offset, and behind the last
@   r5      values              r11       bias
@   r12     input of the channels, from which offsets count        lr   weights
@
@ The frame is a copy of the arguments, `DepthwiseCall` in depthwise.rs; the fields' offsets:

.equ DEPTH_FROM, 0
.equ DEPTH_PIXEL_BYTES, 4
.equ DEPTH_OUTPUT, 8
.equ DEPTH_SKIPPED, 12
.equ DEPTH_PIXELS, 16
.equ DEPTH_OFFSETS, 20            @ of the first tap, and behind the last
.equ DEPTH_WEIGHTS, 28
.equ DEPTH_BIAS, 32
.equ DEPTH_BIAS_END, 36
.equ DEPTH_MULTIPLIERS, 40        @ from a bias to its multiplier, then from behind four of them
.equ DEPTH_SHIFT, 44              @ and the offset
.equ DEPTH_FRACTION_BITS, 52      @ and the residual's multiplier
.equ DEPTH_FRAME, 60

@ The function `name`: `tap` adds the products of a tap, `scale` makes floor((sum << shift) * multiplier / 2^32) +
@ offset of shift r8 and offset r9.
.macro DEPTHWISE name, tap, scale
FUNCTION \name
    push    {r4-r11, lr}
    sub     sp, sp, #DEPTH_FRAME
    ldm     r0!, {r1-r12}
    sub     r11, r11, #16
    stm     sp, {r1-r12}
    ldm     r0, {r1-r3}
    add     r0, sp, #(DEPTH_SHIFT + 4)
    stm     r0, {r1-r3}
1:
    ldr     r12, [sp, #DEPTH_FROM]
    ldr     lr, [sp, #DEPTH_WEIGHTS]
    ldr     r11, [sp, #DEPTH_BIAS]
2:
    ldm     r11!, {r0-r3}
    ldr     r4, [sp, #DEPTH_OFFSETS]
    ldr     r10, [sp, #(DEPTH_OFFSETS + 4)]
3:
    \tap
    cmp     r4, r10
    bne     3b
    ldr     r4, [sp, #DEPTH_MULTIPLIERS]
    add     r4, r4, r11
    ldm     r4, {r4-r7}
    ldr     r8, [sp, #DEPTH_SHIFT]
    ldr     r9, [sp, #(DEPTH_SHIFT + 4)]
    \scale  r0, r4
    \scale  r1, r5
    \scale  r2, r6
    \scale  r3, r7
    ldr     r8, [sp, #DEPTH_FRACTION_BITS]
    ldr     r9, [sp, #(DEPTH_FRACTION_BITS + 4)]
    ldr     r10, [sp, #DEPTH_OUTPUT]
    cmp     r9, #0
    beq     4f
    ldrsb   r4, [r10]
    mla     r0, r4, r9, r0
    ldrsb   r4, [r10, #1]
    mla     r1, r4, r9, r1
    ldrsb   r4, [r10, #2]
    mla     r2, r4, r9, r2
    ldrsb   r4, [r10, #3]
    mla     r3, r4, r9, r3
4:
    asr     r0, r0, r8
    asr     r1, r1, r8
    asr     r2, r2, r8
    asr     r3, r3, r8
    ssat    r0, #8, r0
    ssat    r1, #8, r1
    ssat    r2, #8, r2
    ssat    r3, #8, r3
    strb    r0, [r10], #1
    strb    r1, [r10], #1
    strb    r2, [r10], #1
    strb    r3, [r10], #1
    str     r10, [sp, #DEPTH_OUTPUT]
    add     r12, r12, #4
    ldr     r4, [sp, #DEPTH_BIAS_END]
    cmp     r11, r4
    bne     2b
    ldr     r4, [sp, #DEPTH_SKIPPED]
    add     r10, r10, r4
    str     r10, [sp, #DEPTH_OUTPUT]
    ldr     r4, [sp, #DEPTH_FROM]
    ldr     r5, [sp, #DEPTH_PIXEL_BYTES]
    add     r4, r4, r5
    str     r4, [sp, #DEPTH_FROM]
    ldr     r4, [sp, #DEPTH_PIXELS]
    subs    r4, r4, #1
    str     r4, [sp, #DEPTH_PIXELS]
    bne     1b
    add     sp, sp, #DEPTH_FRAME
    pop     {r4-r11, pc}
.endm

@ Weights are bytes.
.macro M3_DEPTH_TAP
    ldr     r5, [r4], #4
    add     r5, r5, r12
    ldrsb   r6, [r5]
    ldrsb   r7, [lr], #1
    mla     r0, r6, r7, r0
    ldrsb   r6, [r5, #1]
    ldrsb   r7, [lr], #1
    mla     r1, r6, r7, r1
    ldrsb   r6, [r5, #2]
    ldrsb   r7, [lr], #1
    mla     r2, r6, r7, r2
    ldrsb   r6, [r5, #3]
    ldrsb   r7, [lr], #1
    mla     r3, r6, r7, r3
.endm

.macro M3_DEPTH_SCALE sum, multiplier
    lsl     \sum, \sum, r8
    smull   r10, \sum, \sum, \multiplier
    add     \sum, \sum, r9
.endm

DEPTHWISE fixnet_m3_depthwise, M3_DEPTH_TAP, M3_DEPTH_SCALE
