// The compiled kernels as bytes of the library. GRADSTAB_KERNELS_IMAGE is the name of the file that nvcc
// made.

__asm__(
    ".section .rodata, \"a\"\n"
    ".balign 64\n"
    ".hidden gradstab_kernels_image\n"
    ".global gradstab_kernels_image\n"
    "gradstab_kernels_image:\n"
    ".incbin \"" GRADSTAB_KERNELS_IMAGE
    "\"\n"
    ".byte 0\n"
    ".previous\n");
