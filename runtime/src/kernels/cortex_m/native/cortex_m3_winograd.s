@ Winograd's F(4x4, 3x3) in integers for Cortex-M3: two tiles side by side, two output channels at a time.
@
@ Transformed input: `[position][channel][tile]`, words. Transformed weights: `[2 output
@ channels][position][channel][output channel]`, 16 bits. Products are pushed: those of position p lie
@ (35 - p) * 16 bytes above the stack pointer, tile 0 channel 0, tile 0 channel 1, tile 1 channel 0,
@ tile 1 channel 1.

@ Four bytes plus 128: even ones to `even`, odd ones in place.
.macro M3_UNSIGNED even, word
    eor     \word, \word, #0x80808080
    and     \even, \word, #0x00FF00FF
    lsr     \word, \word, #8
    and     \word, \word, #0x00FF00FF
.endm

@ One row of a tile: six columns of four channels to six positions.
.macro M3_INPUT_4_ROW row, tile
    add     r12, sp, #((\row * 10 + \tile * 4) * 8)
    ldm     r12, {r0-r11}
    WINO_INPUT_4 r0, r2, r4, r6, r8, r10, r12
    WINO_INPUT_4 r1, r3, r5, r7, r9, r11, r8
    M3_INPUT_4_STORE r0, r1
    M3_INPUT_4_STORE r2, r3
    M3_INPUT_4_STORE r4, r5
    M3_INPUT_4_STORE r6, r7
    M3_INPUT_4_STORE r12, r8
    M3_INPUT_4_STORE r10, r11
.endm

@ Both halves of high * 65536 + low, channels 0 and 2, and 1 and 3.
.macro M3_INPUT_4_STORE even, odd
    sxth    r9, \even
    str     r9, [lr]
    sub     \even, \even, r9
    asr     \even, \even, #16
    str     \even, [lr, #16]
    sxth    r9, \odd
    str     r9, [lr, #8]
    sub     \odd, \odd, r9
    asr     \odd, \odd, #16
    str     \odd, [lr, #24]
    ldr     r9, [sp, #INPUT_4_STRIDE]
    add     lr, lr, r9
.endm

@ (patch r0, values r1, bytes of a position r2): transforms 16 channels of two tiles.
FUNCTION fixnet_m3_winograd4_input
    push    {r4-r11, lr}
    sub     sp, sp, #500
    strd    r0, r1, [sp, #INPUT_4_PATCH]
    add     r3, r0, #PATCH_PIXEL
    str     r3, [sp, #INPUT_4_END]
    str     r2, [sp, #INPUT_4_STRIDE]
1:
    ldr     lr, [sp, #INPUT_4_PATCH]
    .irp    column, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
    WINO_INPUT_4_COLUMN M3_UNSIGNED, \column
    .endr
    add     lr, lr, #4
    str     lr, [sp, #INPUT_4_PATCH]
    ldr     lr, [sp, #INPUT_4_VALUES]
    .irp    row, 0, 1, 2, 3, 4, 5
    M3_INPUT_4_ROW \row, 0
    .endr
    ldr     lr, [sp, #INPUT_4_VALUES]
    add     lr, lr, #4
    .irp    row, 0, 1, 2, 3, 4, 5
    M3_INPUT_4_ROW \row, 1
    .endr
    ldrd    r1, r2, [sp, #INPUT_4_VALUES]
    add     r1, r1, #32
    str     r1, [sp, #INPUT_4_VALUES]
    ldr     lr, [sp, #INPUT_4_PATCH]
    cmp     lr, r2
    bne.w   1b
    add     sp, sp, #500
    pop     {r4-r11, pc}

@ Two channels of two tiles by two output channels; the first products begin the sums if `first`.
.macro M3_STEP_2 first
    ldm     r12!, {r4-r7}
    ldrsh   r8, [lr], #2
    ldrsh   r9, [lr], #2
    .if \first
    mul     r0, r4, r8
    mul     r1, r4, r9
    mul     r2, r5, r8
    mul     r3, r5, r9
    .else
    mla     r0, r4, r8, r0
    mla     r1, r4, r9, r1
    mla     r2, r5, r8, r2
    mla     r3, r5, r9, r3
    .endif
    ldrsh   r8, [lr], #2
    ldrsh   r9, [lr], #2
    mla     r0, r6, r8, r0
    mla     r1, r6, r9, r1
    mla     r2, r7, r8, r2
    mla     r3, r7, r9, r3
.endm

@ A row of four results: to 64 times the sum (or, by another factor, the sum shifted to the left), to int8,
@ to the output. Results are in r0, r4, r6, r1.
.macro M3_OUTPUT_4_ROW fast, residual, row
    .irp    column, 0, 1, 2, 3, 4, 5
    ldr     r\column, [lr, #((35 - 6 * \row - \column) * 16)]
    .endr
    WINO_OUTPUT_4 r0, r1, r2, r3, r4, r5, r6
    .if \fast
    .irp    y, r0, r4, r6, r1
    mla     \y, \y, r11, r7
    .endr
    .else
    ldr     r2, [sp, #(576 + WINO_RIGHT)]
    .irp    y, r0, r4, r6, r1
    mul     \y, \y, r11
    asr     \y, \y, r2
    add     \y, \y, r7
    .endr
    .endif
    .irp    y, r0, r4, r6, r1
    smull   r2, \y, \y, r8
    add     \y, \y, r9
    .endr
    ldr     r3, [sp, #(576 + WINO_PIXEL_STRIDE)]
    ldr     r5, [sp, #(576 + WINO_PIXEL_STRIDE_3)]
    .if \residual
    ldr     r11, [sp, #(576 + WINO_RESIDUAL)]
    ldrsb   r2, [r12]
    mla     r0, r2, r11, r0
    ldrsb   r2, [r12, r3]
    mla     r4, r2, r11, r4
    ldrsb   r2, [r12, r3, lsl #1]
    mla     r6, r2, r11, r6
    ldrsb   r2, [r12, r5]
    mla     r1, r2, r11, r1
    ldr     r11, [sp, #(576 + WINO_FACTOR)]
    .endif
    .irp    y, r0, r4, r6, r1
    asr     \y, \y, r10
    ssat    \y, #8, \y
    .endr
    strb    r0, [r12]
    strb    r4, [r12, r3]
    strb    r6, [r12, r3, lsl #1]
    strb    r1, [r12, r5]
    ldr     r2, [sp, #(576 + WINO_ROW_STRIDE)]
    add     r12, r12, r2
.endm

.macro M3_OUTPUT_4_ROWS fast, residual
    .irp    row, 0, 1, 2, 3
    M3_OUTPUT_4_ROW \fast, \residual, \row
    .endr
.endm

@ (call r0): all output channels of two tiles from their transformed input.
@ r10 counts blocks of channels: those that are left in its lower half, all of a position in its upper one.
@ r11 is the end of the weights.
FUNCTION fixnet_m3_winograd4
    push    {r4-r11, lr}
    sub     sp, sp, #WINO_FRAME
    WINO_ARGUMENTS
    lsr     r4, r4, #7
    ldr     r5, [sp, #WINO_PIXEL_STRIDE]
    add     r5, r5, r5, lsl #1
    strd    r5, r4, [sp, #WINO_PIXEL_STRIDE_3]
1:
    ldrd    r12, lr, [sp, #WINO_VALUES]
    ldr     r11, [sp, #WINO_PAIR_BYTES]
    add     r11, r11, lr
    ldr     r10, [sp, #WINO_BLOCKS]
    orr     r10, r10, r10, lsl #16
4:
    M3_STEP_2 1
    .rept   7
    M3_STEP_2 0
    .endr
5:
    subs    r10, r10, #1
    lsls    r8, r10, #16
    beq     6f
    .rept   8
    M3_STEP_2 0
    .endr
    b.w     5b
6:
    push    {r0-r3}
    add     r10, r10, r10, lsr #16
    cmp     lr, r11
    bne.w   4b
    str     lr, [sp, #(576 + WINO_WEIGHTS)]
    mov     r4, #0
3:
    str     r4, [sp, #(576 + WINO_QUARTER)]
    add     r12, sp, r4, lsl #2
    .irp    column, 0, 1, 2, 3, 4, 5
    WINO_OUTPUT_4_LOAD \column, r0, r1, r2, r3, r4, r5
    WINO_OUTPUT_4 r0, r1, r2, r3, r4, r5, r6
    str     r0, [r12, #((35 - \column) * 16)]
    str     r4, [r12, #((29 - \column) * 16)]
    str     r6, [r12, #((23 - \column) * 16)]
    str     r1, [r12, #((17 - \column) * 16)]
    .endr
    mov     lr, r12
    ldr     r4, [sp, #(576 + WINO_QUARTER)]
    WINO_CONSTANTS 576, 2
    ldrd    r11, r5, [sp, #(576 + WINO_FACTOR)]
    ldr     r6, [sp, #(576 + WINO_SHIFT)]
    lsl     r7, r7, r6
    ldr     r6, [sp, #(576 + WINO_RESIDUAL)]
    cmp     r6, #0
    bne.w   8f
    cmp     r5, #0
    bne.w   7f
    M3_OUTPUT_4_ROWS 1, 0
    b.w     10f
7:
    M3_OUTPUT_4_ROWS 0, 0
    b.w     10f
8:
    cmp     r5, #0
    bne.w   9f
    M3_OUTPUT_4_ROWS 1, 1
    b.w     10f
9:
    M3_OUTPUT_4_ROWS 0, 1
10:
    WINO_END 576, 0
