@ Winograd's F(4x4, 3x3) and F(2x2, 3x3) in integers for Cortex-M4 and M7: two tiles side by side, two
@ output channels at a time.
@
@ Transformed input: `[position][4 channels][tile]`, each entry the channels (k0, k2) and (k1, k3) in 16
@ bits, 8 bytes. Transformed weights: `[2 output channels][position][4 channels][output channel]` with the
@ same entries. So the products of a position are the steps of a direct convolution, M4_STEP_16.
@
@ Products are pushed: those of position p lie (positions - 1 - p) * 16 bytes above the stack pointer,
@ tile 0 channel 0, tile 0 channel 1, tile 1 channel 0, tile 1 channel 1.
@
@ Four bytes plus 128: even ones to `even`, odd ones in place.
.macro M4_UNSIGNED even, word
    eor     \word, \word, #0x80808080
    uxtb16  \even, \word
    uxtb16  \word, \word, ror #8
.endm

@ One row of a tile: six columns of four channels to six positions. 0x8000 in the two columns which,
@ between them, are in every result once makes low halves positive, so that high halves are right; then it
@ goes again.
.macro M4_INPUT_4_ROW row, tile
    add     r12, sp, #((\row * 10 + \tile * 4) * 8)
    ldm     r12, {r0-r11}
    add     r8, r8, #0x8000
    add     r9, r9, #0x8000
    add     r10, r10, #0x8000
    add     r11, r11, #0x8000
    WINO_INPUT_4 r0, r2, r4, r6, r8, r10, r12
    WINO_INPUT_4 r1, r3, r5, r7, r9, r11, r8
    ldr     r9, [sp, #INPUT_4_STRIDE]
    M4_INPUT_4_STORE r0, r1
    M4_INPUT_4_STORE r2, r3
    M4_INPUT_4_STORE r4, r5
    M4_INPUT_4_STORE r6, r7
    M4_INPUT_4_STORE r12, r8
    M4_INPUT_4_STORE r10, r11
.endm

.macro M4_INPUT_4_STORE even, odd
    eor     \even, \even, #0x8000
    eor     \odd, \odd, #0x8000
    strd    \even, \odd, [lr]
    add     lr, lr, r9
.endm

@ (patch r0, values r1, bytes of a position r2): transforms 16 channels of two tiles.
FUNCTION fixnet_m4_winograd4_input
    push    {r4-r11, lr}
    sub     sp, sp, #500
    strd    r0, r1, [sp, #INPUT_4_PATCH]
    add     r3, r0, #PATCH_PIXEL
    str     r3, [sp, #INPUT_4_END]
    str     r2, [sp, #INPUT_4_STRIDE]
1:
    ldr     lr, [sp, #INPUT_4_PATCH]
    .irp    column, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
    WINO_INPUT_4_COLUMN M4_UNSIGNED, \column
    .endr
    add     lr, lr, #4
    str     lr, [sp, #INPUT_4_PATCH]
    ldr     lr, [sp, #INPUT_4_VALUES]
    .irp    row, 0, 1, 2, 3, 4, 5
    M4_INPUT_4_ROW \row, 0
    .endr
    ldr     lr, [sp, #INPUT_4_VALUES]
    add     lr, lr, #8
    .irp    row, 0, 1, 2, 3, 4, 5
    M4_INPUT_4_ROW \row, 1
    .endr
    ldrd    r1, r2, [sp, #INPUT_4_VALUES]
    add     r1, r1, #16
    str     r1, [sp, #INPUT_4_VALUES]
    ldr     lr, [sp, #INPUT_4_PATCH]
    cmp     lr, r2
    bne.w   1b
    add     sp, sp, #500
    pop     {r4-r11, pc}

@ Input transform of F(2x2, 3x3) on pairs of 16-bit numbers; d1's result is in `t`.
.macro M4_INPUT_2 d0, d1, d2, d3, t
    ssub16  \d0, \d0, \d2
    ssub16  \d3, \d1, \d3
    sadd16  \t, \d1, \d2
    ssub16  \d2, \d2, \d1
.endm

.macro M4_INPUT_2_COLUMN column
    ldr     r4, [lr, #((0 * 6 + \column) * PATCH_PIXEL)]
    ldr     r5, [lr, #((1 * 6 + \column) * PATCH_PIXEL)]
    ldr     r6, [lr, #((2 * 6 + \column) * PATCH_PIXEL)]
    ldr     r7, [lr, #((3 * 6 + \column) * PATCH_PIXEL)]
    sxtb16  r0, r4
    sxtb16  r4, r4, ror #8
    sxtb16  r1, r5
    sxtb16  r5, r5, ror #8
    sxtb16  r2, r6
    sxtb16  r6, r6, ror #8
    sxtb16  r3, r7
    sxtb16  r7, r7, ror #8
    M4_INPUT_2 r0, r1, r2, r3, r8
    M4_INPUT_2 r4, r5, r6, r7, r9
    strd    r0, r4, [sp, #((0 * 6 + \column) * 8)]
    strd    r8, r9, [sp, #((1 * 6 + \column) * 8)]
    strd    r2, r6, [sp, #((2 * 6 + \column) * 8)]
    strd    r3, r7, [sp, #((3 * 6 + \column) * 8)]
.endm

.macro M4_INPUT_2_ROW row, tile
    add     r12, sp, #((\row * 6 + \tile * 2) * 8)
    ldm     r12, {r0-r7}
    M4_INPUT_2 r0, r2, r4, r6, r8
    M4_INPUT_2 r1, r3, r5, r7, r9
    strd    r0, r1, [lr]
    add     lr, lr, r10
    strd    r8, r9, [lr]
    add     lr, lr, r10
    strd    r4, r5, [lr]
    add     lr, lr, r10
    strd    r6, r7, [lr]
    add     lr, lr, r10
.endm

@ (patch r0, values r1, bytes of a position r2): transforms 16 channels of two tiles.
FUNCTION fixnet_m4_winograd2_input
    push    {r4-r11, lr}
    sub     sp, sp, #204
    mov     r10, r2
    mov     r11, r1
    mov     lr, r0
    add     r0, r0, #PATCH_PIXEL
    str     r0, [sp, #192]
1:
    .irp    column, 0, 1, 2, 3, 4, 5
    M4_INPUT_2_COLUMN \column
    .endr
    add     lr, lr, #4
    str     lr, [sp, #196]
    mov     lr, r11
    .irp    row, 0, 1, 2, 3
    M4_INPUT_2_ROW \row, 0
    .endr
    add     lr, r11, #8
    .irp    row, 0, 1, 2, 3
    M4_INPUT_2_ROW \row, 1
    .endr
    add     r11, r11, #16
    ldrd    r0, lr, [sp, #192]
    cmp     lr, r0
    bne.w   1b
    add     sp, sp, #204
    pop     {r4-r11, pc}

@ Products of all positions for two output channels: `positions` at a time, of `steps` steps each, until
@ the weights' end, s24; then on at s30.
.macro M4_PRODUCTS positions, steps
    .rept   \positions
    M4_STEP_16 smuad
    .rept   \steps - 1
    M4_STEP_16
    .endr
    push    {r0-r3}
    .endr
    vmov    r4, s24
    cmp     lr, r4
.endm

FUNCTION fixnet_m4_products_16
    M4_PRODUCTS 4, 4
    bne.w   fixnet_m4_products_16
    vmov    r4, s30
    bx      r4

FUNCTION fixnet_m4_products_32
    M4_PRODUCTS 2, 8
    bne.w   fixnet_m4_products_32
    vmov    r4, s30
    bx      r4

FUNCTION fixnet_m4_products_64
    M4_PRODUCTS 1, 16
    bne.w   fixnet_m4_products_64
    vmov    r4, s30
    bx      r4

@ Any multiple of 16 channels; the input of a position has s26 bytes.
FUNCTION fixnet_m4_products_any
    vmov    r4, s26
    add     r4, r4, r12
    vmov    s25, r4
    mov     r0, #0
    mov     r1, #0
    mov     r2, #0
    mov     r3, #0
1:
    .rept   4
    M4_STEP_16
    .endr
    vmov    r4, s25
    cmp     r12, r4
    bne.w   1b
    push    {r0-r3}
    vmov    r4, s24
    cmp     lr, r4
    bne.w   fixnet_m4_products_any
    vmov    r4, s30
    bx      r4

@ From the arguments to the first two output channels.
.macro M4_WINO_BEGIN
    push    {r4-r11, lr}
    vpush   {s16-s31}
    sub     sp, sp, #WINO_FRAME
    WINO_ARGUMENTS
    vmov    s26, r4
    ldr     r5, [sp, #WINO_RIGHT]
    vmov    s27, r5
    ldr     r5, [sp, #WINO_PIXEL_STRIDE]
    add     r6, r5, r5, lsl #1
    vmov    s28, s29, r5, r6
    adr.w   r4, 2f
    orr     r4, r4, #1
    vmov    s30, r4
1:
    ldrd    r12, lr, [sp, #WINO_VALUES]
    ldrd    r4, r5, [sp, #WINO_PAIR_BYTES]
    add     r4, r4, lr
    vmov    s24, r4
    cmp     r5, #64
    beq.w   fixnet_m4_products_16
    cmp     r5, #128
    beq.w   fixnet_m4_products_32
    cmp     r5, #256
    beq.w   fixnet_m4_products_64
    b.w     fixnet_m4_products_any
    .balign 4
2:
.endm

@ Two columns of products to two columns of four rows, row a of which ends up in s(6a + column).
.macro M4_OUTPUT_4_COLUMNS column, next, a0, b0, a1, b1, a2, b2, a3, b3
    WINO_OUTPUT_4_LOAD \column, r0, r1, r2, r3, r4, r5
    WINO_OUTPUT_4 r0, r1, r2, r3, r4, r5, r6
    WINO_OUTPUT_4_LOAD \next, r2, r3, r5, r7, r8, r9
    WINO_OUTPUT_4 r2, r3, r5, r7, r8, r9, r10
    vmov    \a0, \b0, r0, r2
    vmov    \a1, \b1, r4, r8
    vmov    \a2, \b2, r6, r10
    vmov    \a3, \b3, r1, r3
.endm

@ A row of four results: to 64 times the sum (or, by another factor, the sum shifted to the left), to
@ int8, to the output. Results are in r0, r4, r6, r1.
.macro M4_OUTPUT_4_ROW fast, residual, s0, s1, s2, s3, s4, s5
    vmov    r0, r1, \s0, \s1
    vmov    r2, r3, \s2, \s3
    vmov    r4, r5, \s4, \s5
    WINO_OUTPUT_4 r0, r1, r2, r3, r4, r5, r6
    .if \fast
    mla     r0, r0, r11, r7
    mla     r4, r4, r11, r7
    mla     r6, r6, r11, r7
    mla     r1, r1, r11, r7
    .else
    vmov    r2, s27
    mul     r0, r0, r11
    mul     r4, r4, r11
    mul     r6, r6, r11
    mul     r1, r1, r11
    asr     r0, r0, r2
    asr     r4, r4, r2
    asr     r6, r6, r2
    asr     r1, r1, r2
    add     r0, r0, r7
    add     r4, r4, r7
    add     r6, r6, r7
    add     r1, r1, r7
    .endif
    vmov    r3, r5, s28, s29
    smmla   r0, r0, r8, r9
    smmla   r4, r4, r8, r9
    smmla   r6, r6, r8, r9
    smmla   r1, r1, r8, r9
    .if \residual
    ldrsb   r2, [r12]
    mla     r0, r2, lr, r0
    ldrsb   r2, [r12, r3]
    mla     r4, r2, lr, r4
    ldrsb   r2, [r12, r3, lsl #1]
    mla     r6, r2, lr, r6
    ldrsb   r2, [r12, r5]
    mla     r1, r2, lr, r1
    .endif
    asr     r0, r0, r10
    asr     r4, r4, r10
    asr     r6, r6, r10
    asr     r1, r1, r10
    ssat    r0, #8, r0
    ssat    r4, #8, r4
    ssat    r6, #8, r6
    ssat    r1, #8, r1
    strb    r0, [r12]
    strb    r4, [r12, r3]
    strb    r6, [r12, r3, lsl #1]
    strb    r1, [r12, r5]
    .if \residual
    ldr     r2, [sp, #(576 + WINO_ROW_STRIDE)]
    add     r12, r12, r2
    .else
    add     r12, r12, lr
    .endif
.endm

.macro M4_OUTPUT_4_ROWS fast, residual
    M4_OUTPUT_4_ROW \fast, \residual, s0, s1, s2, s3, s4, s5
    M4_OUTPUT_4_ROW \fast, \residual, s6, s7, s8, s9, s10, s11
    M4_OUTPUT_4_ROW \fast, \residual, s12, s13, s14, s15, s16, s17
    M4_OUTPUT_4_ROW \fast, \residual, s18, s19, s20, s21, s22, s23
.endm

@ (call r0): all output channels of two tiles from their transformed input.
FUNCTION fixnet_m4_winograd4
    M4_WINO_BEGIN
    str     lr, [sp, #(576 + WINO_WEIGHTS)]
    mov     r4, #0
3:
    str     r4, [sp, #(576 + WINO_QUARTER)]
    add     r12, sp, r4, lsl #2
    M4_OUTPUT_4_COLUMNS 0, 1, s0, s1, s6, s7, s12, s13, s18, s19
    M4_OUTPUT_4_COLUMNS 2, 3, s2, s3, s8, s9, s14, s15, s20, s21
    M4_OUTPUT_4_COLUMNS 4, 5, s4, s5, s10, s11, s16, s17, s22, s23
    ldr     r4, [sp, #(576 + WINO_QUARTER)]
    WINO_CONSTANTS 576, 2
    ldrd    r11, r5, [sp, #(576 + WINO_FACTOR)]
    ldr     r6, [sp, #(576 + WINO_SHIFT)]
    lsl     r7, r7, r6
    ldr     lr, [sp, #(576 + WINO_RESIDUAL)]
    cmp     lr, #0
    bne.w   5f
    ldr     lr, [sp, #(576 + WINO_ROW_STRIDE)]
    cmp     r5, #0
    bne.w   4f
    M4_OUTPUT_4_ROWS 1, 0
    b.w     7f
4:
    M4_OUTPUT_4_ROWS 0, 0
    b.w     7f
5:
    cmp     r5, #0
    bne.w   6f
    M4_OUTPUT_4_ROWS 1, 1
    b.w     7f
6:
    M4_OUTPUT_4_ROWS 0, 1
7:
    WINO_END 576, 1

@ A^T of F(2x2, 3x3); the results are in m0 and m1.
.macro M4_OUTPUT_2 m0, m1, m2, m3
    add     \m0, \m0, \m1
    sub     \m1, \m1, \m2
    add     \m0, \m0, \m2
    sub     \m1, \m1, \m3
.endm

.macro M4_OUTPUT_2_COLUMN column, m0, m1, m2, m3
    ldr     \m0, [r12, #((15 - \column) * 16)]
    ldr     \m1, [r12, #((11 - \column) * 16)]
    ldr     \m2, [r12, #((7 - \column) * 16)]
    ldr     \m3, [r12, #((3 - \column) * 16)]
    M4_OUTPUT_2 \m0, \m1, \m2, \m3
.endm

@ Four times the sum to int8 and to the output at r12 + `at`.
.macro M4_OUTPUT_2_STORE y, at:vararg
    add     \y, r7, \y, asr #2
    lsl     \y, \y, r11
    smmla   \y, \y, r8, r9
    ldrsb   r6, [r12\at]
    mla     \y, r6, lr, \y
    asr     \y, \y, r10
    ssat    \y, #8, \y
    strb    \y, [r12\at]
.endm

@ (call r0): all output channels of two tiles from their transformed input.
FUNCTION fixnet_m4_winograd2
    M4_WINO_BEGIN
    str     lr, [sp, #(256 + WINO_WEIGHTS)]
    mov     r4, #0
3:
    str     r4, [sp, #(256 + WINO_QUARTER)]
    add     r12, sp, r4, lsl #2
    M4_OUTPUT_2_COLUMN 0, r0, r1, r2, r3
    M4_OUTPUT_2_COLUMN 1, r2, r3, r4, r5
    M4_OUTPUT_2_COLUMN 2, r4, r5, r6, r7
    M4_OUTPUT_2_COLUMN 3, r6, r7, r8, r9
    M4_OUTPUT_2 r0, r2, r4, r6
    M4_OUTPUT_2 r1, r3, r5, r7
    ldr     r4, [sp, #(256 + WINO_QUARTER)]
    WINO_CONSTANTS 256, 1
    ldr     r11, [sp, #(256 + WINO_SHIFT)]
    ldr     lr, [sp, #(256 + WINO_RESIDUAL)]
    vmov    r5, s28
    M4_OUTPUT_2_STORE r0
    M4_OUTPUT_2_STORE r2, , r5
    ldr     r4, [sp, #(256 + WINO_ROW_STRIDE)]
    add     r12, r12, r4
    M4_OUTPUT_2_STORE r1
    M4_OUTPUT_2_STORE r3, , r5
    WINO_END 256, 1
