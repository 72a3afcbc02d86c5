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
@ The frame is a copy of the arguments, `DirectCall` in cortex_m3.rs; the fields' offsets:

.equ M3_PATCH, 0
.equ M3_PATCH_END, 4
.equ M3_WEIGHTS, 8
.equ M3_BIAS, 12
.equ M3_MULTIPLIERS, 16
.equ M3_OUTPUTS, 20             @ of four pixels
.equ M3_SHIFT, 36
.equ M3_OFFSET, 40
.equ M3_FRACTION_BITS, 44
.equ M3_RESIDUAL, 48            @ the multiplier
.equ M3_OUTPUT_END, 52
.equ M3_ENTRY, 56               @ bytes of the unrolled steps to skip first, then their address
.equ M3_EXCESS, 60              @ what the constant of all products adds to a sum
.equ M3_ROW_EXCESS, 64          @ of the steps' weights over a row
.equ M3_FRAME, 68

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
    push    {r4-r11, lr}
    sub     sp, sp, #M3_FRAME
    ldm     r0!, {r1-r12}
    stm     sp, {r1-r12}
    ldm     r0, {r1-r5}
    adr.w   r6, 2f
    add     r3, r3, r6
    orr     r3, r3, #1
    add     r0, sp, #M3_RESIDUAL
    stm     r0, {r1-r5}
    ldr     lr, [sp, #M3_WEIGHTS]
    mov     r11, #0x7F007F00
1:
    ldr     r4, [sp, #M3_BIAS]
    ldr     r1, [r4], #4
    str     r4, [sp, #M3_BIAS]
    ldr     r5, [sp, #M3_EXCESS]
    sub     r1, r1, r5
    add     r0, r1, r1, lsl #16
    mov     r2, r0
    mov     r3, r1
    ldr     r12, [sp, #M3_PATCH]
    ldr     pc, [sp, #M3_ENTRY]
    .balign 4
2:
    .rept   M3_UNROLLED
    M3_STEP
    .endr
    ldr     r4, [sp, #M3_PATCH_END]
    cmp     r12, r4
    bne.w   2b
    ldr     r4, [sp, #M3_ROW_EXCESS]
    sub     lr, lr, r4
    sub     r0, r0, r1, lsl #16
    sub     r2, r2, r3, lsl #16
    ldr     r9, [sp, #M3_MULTIPLIERS]
    ldr     r8, [r9], #4
    str     r9, [sp, #M3_MULTIPLIERS]
    ldrd    r9, r10, [sp, #M3_SHIFT]
    add     r12, sp, #M3_OUTPUTS
    ldm     r12, {r4-r7}
    M3_SCALE r0
    M3_SCALE r1
    M3_SCALE r2
    M3_SCALE r3
    ldrd    r8, r9, [sp, #M3_FRACTION_BITS]
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
    add     r12, sp, #M3_OUTPUTS
    stm     r12, {r4-r7}
    ldr     r5, [sp, #M3_OUTPUT_END]
    cmp     r4, r5
    bne.w   1b
    add     sp, sp, #M3_FRAME
    pop     {r4-r11, pc}

@ Two elements of four pixels, bytes `bit` / 8 and the next.
.macro M3_WIDEN bit, next
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

@ (call r0): widens rows of steps of four windows. The call: where the four begin, patch, bytes of a row's
@ patch, bytes from the end of a row to the next, rows.
FUNCTION fixnet_m3_widen
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
    M3_WIDEN 0, 8
    M3_WIDEN 16, 24
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
