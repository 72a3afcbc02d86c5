@ Depthwise convolutions for Cortex-M4: see depthwise.s. Weights are words of 16 bits: c0 and c2, c1 and c3.
.macro M4_DEPTH_TAP
    ldr     r5, [r4], #4
    ldr     r5, [r12, r5]
    ldrd    r6, r7, [lr], #8
    sxtb16  r8, r5
    sxtb16  r9, r5, ror #8
    smlabb  r0, r8, r6, r0
    smlabb  r1, r9, r7, r1
    smlatt  r2, r8, r6, r2
    smlatt  r3, r9, r7, r3
.endm

.macro M4_DEPTH_SCALE sum, multiplier
    lsl     \sum, \sum, r8
    smmla   \sum, \sum, \multiplier, r9
.endm

DEPTHWISE fixnet_m4_depthwise, M4_DEPTH_TAP, M4_DEPTH_SCALE
