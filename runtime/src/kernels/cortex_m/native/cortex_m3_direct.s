@ Direct convolution for Cortex-M3: tiles of 4 pixels and 1 output channel by MLA, two products at a time.
@
@ A word of a patch holds one element of two pixels' windows as one number, x1 * 65536 + x0; an element
@ of all four pixels is two words. A weight times such a word is both products, and the sum of two such
@ products is both sums of two, which lie in [-32512, 32768]. 0x7F00 in both halves makes them positive, so
@ that they can be taken apart: the upper half is added to the second pixel's sum, the whole to a sum of
@ both, from which the second pixel's is subtracted in the end. All of it is exact modulo 2^32.
@
@ Registers of a tile:
@   r0, r1  65536 times pixel 1 plus pixel 0, and pixel 1     r2, r3  the same of pixels 3 and 2
@   r4-r7   values: two elements of pixels (0, 1), (2, 3)     r8, r9  their weights
@   r10     two products                                      r11     0x7F007F00
@   r12     patch     lr   weights
@
@ Four elements of four pixels: 22 instructions of 4 bytes, 16 products.
.macro M3_STEP
    .rept   2
    ldm     r12!, {r4-r7}
    ldrsb   r8, [lr], #1
    ldrsb   r9, [lr], #1
    mla     r10, r4, r8, r11
    mla     r10, r6, r9, r10
    add.w   r0, r0, r10
    add.w   r1, r1, r10, lsr #16
    mla     r10, r5, r8, r11
    mla     r10, r7, r9, r10
    add.w   r2, r2, r10
    add.w   r3, r3, r10, lsr #16
    .endr
.endm

.equ M3_UNROLLED, 8

@ floor((sum << shift) * multiplier / 2^32) + offset: shift r9, multiplier r8, offset r10.
.macro M3_SCALE sum
    lsl     \sum, \sum, r9
    smull   r12, \sum, \sum, r8
    add     \sum, \sum, r10
.endm

@ (call r0): some output channels of four pixels.
FUNCTION fixnet_m3_direct
    ROWS_BEGIN
    mov     r11, #0x7F007F00
1:
    ldr     r4, [sp, #ROWS_BIAS]
    ldr     r1, [r4], #4
    str     r4, [sp, #ROWS_BIAS]
    ldr     r5, [sp, #ROWS_EXCESS]
    sub     r1, r1, r5
    add     r0, r1, r1, lsl #16
    mov     r2, r0
    mov     r3, r1
    ldr     r12, [sp, #ROWS_PATCH]
    ldr     pc, [sp, #ROWS_ENTRY]
    .balign 4
2:
    .rept   M3_UNROLLED
    M3_STEP
    .endr
    ldr     r4, [sp, #ROWS_PATCH_END]
    cmp     r12, r4
    bne.w   2b
    ldr     r4, [sp, #ROWS_ROW_EXCESS]
    sub     lr, lr, r4
    sub     r0, r0, r1, lsl #16
    sub     r2, r2, r3, lsl #16
    ROWS_END M3_SCALE

@ Two elements of four pixels, bytes `bit` / 8 and the next.
.macro M3_WIDEN_2 bit, next
    sxtb    r8, r4, ror #\bit
    sxtb    r12, r5, ror #\bit
    add     r8, r8, r12, lsl #16
    sxtb    r9, r6, ror #\bit
    sxtb    r12, r7, ror #\bit
    add     r9, r9, r12, lsl #16
    sxtb    r10, r4, ror #\next
    sxtb    r12, r5, ror #\next
    add     r10, r10, r12, lsl #16
    sxtb    r11, r6, ror #\next
    sxtb    r12, r7, ror #\next
    add     r11, r11, r12, lsl #16
    stm     lr!, {r8-r11}
.endm

.macro M3_WIDEN
    M3_WIDEN_2 0, 8
    M3_WIDEN_2 16, 24
.endm

@ (call r0): see ROWS_WIDEN.
FUNCTION fixnet_m3_widen
    ROWS_WIDEN M3_WIDEN
