@ What the kernels of Cortex-M3 and M4 share: how functions begin, and Winograd's F(4x4, 3x3).

.macro FUNCTION name
    .section .text.\name, "ax", %progbits
    .balign 8
    .global \name
    .type \name, %function
    .thumb_func
\name:
.endm

@ The frame of two tiles is a copy of the arguments, `WinogradCall` in winograd_call.rs, and what is left of
@ them:

.equ WINO_VALUES, 0
.equ WINO_WEIGHTS, 4
.equ WINO_BIAS, 8
.equ WINO_MULTIPLIERS, 12
.equ WINO_OUTPUT, 16
.equ WINO_OUTPUT_END, 20
.equ WINO_ROW_STRIDE, 24        @ from an output row to the next
.equ WINO_PIXEL_STRIDE, 28
.equ WINO_FACTOR, 32            @ F(4x4): the inverse of 9, or that times a power of two
.equ WINO_RIGHT, 36             @ F(4x4): shift to the right after it
.equ WINO_SHIFT, 40
.equ WINO_OFFSET, 44
.equ WINO_FRACTION_BITS, 48
.equ WINO_RESIDUAL, 52          @ the multiplier
.equ WINO_PAIR_BYTES, 56        @ weights of two output channels
.equ WINO_POSITION_BYTES, 60    @ input of one position
.equ WINO_QUARTER, 64           @ which of the four pairs of tile and channel is next
.equ WINO_PIXEL_STRIDE_3, 68    @ three times the pixel stride
.equ WINO_BLOCKS, 72            @ of 16 input channels
.equ WINO_FRAME, 76

@ Bytes between pixels of a patch, which holds 16 channels.
.equ PATCH_PIXEL, 16

@ Input transform of F(4x4, 3x3) on six words, each two 16-bit numbers as one: high * 65536 + low. Their
@ sums are those of both numbers, without regard for lanes. d4's result is in `t`, others in place.
.macro WINO_INPUT_4 d0, d1, d2, d3, d4, d5, t
    sub     \d0, \d0, \d2
    sub     \t, \d4, \d2, lsl #2
    sub     \d4, \d4, \d2
    add     \d0, \d4, \d0, lsl #2
    sub     \d2, \d3, \d1, lsl #2
    sub     \d5, \d5, \d3
    sub     \d3, \d3, \d1
    add     \d1, \t, \d2
    sub     \d2, \t, \d2
    sub     \d5, \d5, \d3, lsl #2
    sub     \t, \d4, \d3, lsl #1
    add     \d3, \d4, \d3, lsl #1
.endm

@ One column of a patch of 6 x 10 pixels: four channels of six pixels to twelve words.
@ x + 128 in place of x makes both halves positive. Behind the transform a constant is left in the
@ second row alone, -6 times 128: it is taken out there.
.macro WINO_INPUT_4_COLUMN unsigned, column
    ldr     r6, [lr, #((0 * 10 + \column) * PATCH_PIXEL)]
    ldr     r7, [lr, #((1 * 10 + \column) * PATCH_PIXEL)]
    ldr     r8, [lr, #((2 * 10 + \column) * PATCH_PIXEL)]
    ldr     r9, [lr, #((3 * 10 + \column) * PATCH_PIXEL)]
    ldr     r10, [lr, #((4 * 10 + \column) * PATCH_PIXEL)]
    ldr     r11, [lr, #((5 * 10 + \column) * PATCH_PIXEL)]
    \unsigned r0, r6
    \unsigned r1, r7
    \unsigned r2, r8
    \unsigned r3, r9
    \unsigned r4, r10
    \unsigned r5, r11
    WINO_INPUT_4 r0, r1, r2, r3, r4, r5, r12
    WINO_INPUT_4 r6, r7, r8, r9, r10, r11, r4
    add     r1, r1, #0x03000300
    add     r7, r7, #0x03000300
    strd    r0, r6, [sp, #((0 * 10 + \column) * 8)]
    strd    r1, r7, [sp, #((1 * 10 + \column) * 8)]
    strd    r2, r8, [sp, #((2 * 10 + \column) * 8)]
    strd    r3, r9, [sp, #((3 * 10 + \column) * 8)]
    strd    r12, r4, [sp, #((4 * 10 + \column) * 8)]
    strd    r5, r11, [sp, #((5 * 10 + \column) * 8)]
.endm

@ The frame of an input transform, behind the transformed columns:
.equ INPUT_4_PATCH, 480
.equ INPUT_4_VALUES, 484
.equ INPUT_4_END, 488
.equ INPUT_4_STRIDE, 492

@ A^T of F(4x4, 3x3); the results are in m0, m4, t, m1.
.macro WINO_OUTPUT_4 m0, m1, m2, m3, m4, m5, t
    add     \t, \m1, \m2
    sub     \m1, \m1, \m2
    add     \m2, \m3, \m4
    sub     \m3, \m3, \m4
    add     \m0, \m0, \t
    add     \m4, \m1, \m3, lsl #1
    add     \m3, \m5, \m3, lsl #2
    add     \m0, \m0, \m2
    add     \t, \t, \m2, lsl #2
    add     \m1, \m1, \m3, lsl #1
.endm

.macro WINO_OUTPUT_4_LOAD column, m0, m1, m2, m3, m4, m5
    ldr     \m0, [r12, #((35 - \column) * 16)]
    ldr     \m1, [r12, #((29 - \column) * 16)]
    ldr     \m2, [r12, #((23 - \column) * 16)]
    ldr     \m3, [r12, #((17 - \column) * 16)]
    ldr     \m4, [r12, #((11 - \column) * 16)]
    ldr     \m5, [r12, #((5 - \column) * 16)]
.endm

@ The arguments at r0 to the frame; leaves the bytes of a position in r4.
.macro WINO_ARGUMENTS
    ldm     r0!, {r1-r12}
    stm     sp, {r1-r12}
    ldm     r0, {r1-r4}
    add     r0, sp, #WINO_FRACTION_BITS
    stm     r0, {r1-r4}
.endm

@ The constants of quarter r4: bias r7, multiplier r8, offset r9, fraction bits r10, output r12. M: bytes of
@ products below the frame; `side`: pixels of a tile's side as a power of two.
.macro WINO_CONSTANTS m, side
    and     r5, r4, #1
    ldr     r6, [sp, #(\m + WINO_BIAS)]
    ldr     r7, [r6, r5, lsl #2]
    ldr     r6, [sp, #(\m + WINO_MULTIPLIERS)]
    ldr     r8, [r6, r5, lsl #2]
    ldr     r12, [sp, #(\m + WINO_OUTPUT)]
    add     r12, r12, r5
    ldr     r6, [sp, #(\m + WINO_PIXEL_STRIDE)]
    tst     r4, #2
    it      ne
    addne   r12, r12, r6, lsl #\side
    ldrd    r9, r10, [sp, #(\m + WINO_OFFSET)]
.endm

@ The next quarter, at 3b, or the next two channels, or the end.
.macro WINO_END m, vpop
    ldr     r4, [sp, #(\m + WINO_QUARTER)]
    add     r4, r4, #1
    cmp     r4, #4
    bne.w   3b
    ldr     r0, [sp, #(\m + WINO_BIAS)]
    add     r0, r0, #8
    str     r0, [sp, #(\m + WINO_BIAS)]
    ldr     r0, [sp, #(\m + WINO_MULTIPLIERS)]
    add     r0, r0, #8
    str     r0, [sp, #(\m + WINO_MULTIPLIERS)]
    ldrd    r0, r1, [sp, #(\m + WINO_OUTPUT)]
    add     r0, r0, #2
    str     r0, [sp, #(\m + WINO_OUTPUT)]
    add     sp, sp, #\m
    cmp     r0, r1
    bne.w   1b
    add     sp, sp, #WINO_FRAME
    .if \vpop
    vpop    {s16-s31}
    .endif
    pop     {r4-r11, pc}
.endm

@ Direct convolution from rows of bytes, in tiles of 4 pixels and 1 output channel.
@
@ The frame is a copy of the arguments, `RowsCall` in rows_call.rs; the fields' offsets:

.equ ROWS_PATCH, 0
.equ ROWS_PATCH_END, 4
.equ ROWS_WEIGHTS, 8
.equ ROWS_BIAS, 12
.equ ROWS_MULTIPLIERS, 16
.equ ROWS_OUTPUTS, 20             @ of four pixels
.equ ROWS_SHIFT, 36
.equ ROWS_OFFSET, 40
.equ ROWS_FRACTION_BITS, 44
.equ ROWS_RESIDUAL, 48            @ the multiplier
.equ ROWS_OUTPUT_END, 52
.equ ROWS_ENTRY, 56               @ bytes of the unrolled steps to skip first, then their address
.equ ROWS_EXCESS, 60              @ Cortex-M3: what the constant of all products adds to a sum
.equ ROWS_ROW_EXCESS, 64          @ of the steps' weights over a row
.equ ROWS_FRAME, 68

@ From the arguments to the first output channel; the unrolled steps are at 2f.
.macro ROWS_BEGIN
    push    {r4-r11, lr}
    sub     sp, sp, #ROWS_FRAME
    ldm     r0!, {r1-r12}
    stm     sp, {r1-r12}
    ldm     r0, {r1-r5}
    adr.w   r6, 2f
    add     r3, r3, r6
    orr     r3, r3, #1
    add     r0, sp, #ROWS_RESIDUAL
    stm     r0, {r1-r5}
    ldr     lr, [sp, #ROWS_WEIGHTS]
.endm

@ Four pixels' sums to int8 and to the output, then the next output channel, at 1b. `scale` makes
@ floor((sum << shift) * multiplier / 2^32) + offset of shift r9, multiplier r8, offset r10.
.macro ROWS_END scale
    ldr     r9, [sp, #ROWS_MULTIPLIERS]
    ldr     r8, [r9], #4
    str     r9, [sp, #ROWS_MULTIPLIERS]
    ldrd    r9, r10, [sp, #ROWS_SHIFT]
    add     r12, sp, #ROWS_OUTPUTS
    ldm     r12, {r4-r7}
    \scale r0
    \scale r1
    \scale r2
    \scale r3
    ldrd    r8, r9, [sp, #ROWS_FRACTION_BITS]
    cmp     r9, #0
    beq     3f
    ldrsb   r10, [r4]
    mla     r0, r10, r9, r0
    ldrsb   r10, [r5]
    mla     r1, r10, r9, r1
    ldrsb   r10, [r6]
    mla     r2, r10, r9, r2
    ldrsb   r10, [r7]
    mla     r3, r10, r9, r3
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
    strb    r1, [r5], #1
    strb    r2, [r6], #1
    strb    r3, [r7], #1
    add     r12, sp, #ROWS_OUTPUTS
    stm     r12, {r4-r7}
    ldr     r5, [sp, #ROWS_OUTPUT_END]
    cmp     r4, r5
    bne.w   1b
    add     sp, sp, #ROWS_FRAME
    pop     {r4-r11, pc}
.endm

@ (call r0): widens rows of steps of four windows. The call: where the four begin, patch, bytes of a row's
@ patch, bytes from the end of a row to the next, rows.
.macro ROWS_WIDEN widen:vararg
    push    {r4-r11, lr}
    ldm     r0, {r0-r3, r4-r7}
    push    {r4-r7}
    mov     lr, r4
1:
    ldr     r8, [sp, #4]
    add     r8, r8, lr
    str     r8, [sp]
2:
    ldr     r4, [r0], #4
    ldr     r5, [r1], #4
    ldr     r6, [r2], #4
    ldr     r7, [r3], #4
    \widen
    ldr     r4, [sp]
    cmp     lr, r4
    bne     2b
    ldrd    r8, r9, [sp, #8]
    add     r0, r0, r8
    add     r1, r1, r8
    add     r2, r2, r8
    add     r3, r3, r8
    subs    r9, r9, #1
    str     r9, [sp, #12]
    bne     1b
    add     sp, sp, #16
    pop     {r4-r11, pc}
.endm
