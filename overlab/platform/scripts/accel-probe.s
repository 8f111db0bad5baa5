# Boot sector: long mode with paging, a short computation, then 0x2a to the debug-exit port: qemu ends with code 85.
# as accel-probe.s -o p.o && ld -Ttext 0x7c00 --oformat binary -o p.img p.o; acceleration.py holds the result.
    .code16
    .globl _start
_start:
    cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %sp
    # page tables at 0x1000 (PML4), 0x2000 (PDPT), 0x3000 (PD): identity-map the first 2 MiB
    mov $0x1000, %di
    mov $0x1800, %cx
    rep stosw
    movl $0x2003, 0x1000
    movl $0x3003, 0x2000
    movl $0x0083, 0x3000
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $0x1000, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000001, %eax
    mov %eax, %cr0
    lgdtl gdtr
    ljmp $8, $long
    .code64
long:
    mov $0x1122334455667788, %rax
    mov $100000, %ecx
1:  rol $7, %rax
    lea 1(%rax,%rcx,2), %rax
    dec %ecx
    jnz 1b
    mov $0x2a, %al
    out %al, $0xf4
2:  hlt
    jmp 2b
    .balign 8
gdt: .quad 0, 0x00209a0000000000
gdtr: .word 15
    .long gdt
    .org 510
    .word 0xaa55
