//! Runs a filter as the kernel would, for tests.

use libc::sock_filter;

/// A system call as a filter sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// AUDIT_ARCH_*.
    pub(super) arch: u32,
    /// Its number there.
    pub(super) number: u32,
    /// Its arguments.
    pub(super) arguments: [u64; 6],
}

impl Call {
    /// The word at an offset of seccomp_data.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            16.. => {
                let bytes = self.arguments.map(u64::to_ne_bytes).concat();
                let at = usize::try_from(offset - 16).unwrap();
                u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
            }
            _ => panic!("nothing looks at {offset}"),
        }
    }
}

/// What the filter returns, SECCOMP_RET_*, and after how many instructions.
pub(super) fn run(filter: &[sock_filter], call: Call) -> (u32, usize) {
    use libc::{BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_JSET};
    use libc::{BPF_K, BPF_LD, BPF_RET, BPF_W};
    let (mut at, mut value, mut steps) = (0, 0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = filter[at];
        at += 1;
        steps += 1;
        let code = u32::from(code);
        let jump = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            _ if code == BPF_LD | BPF_W | BPF_ABS => value = call.word(k),
            _ if code == BPF_ALU | BPF_AND | BPF_K => value &= k,
            _ if code == BPF_JMP | BPF_JA => at += usize::try_from(k).unwrap(),
            _ if code == BPF_JMP | BPF_JEQ | BPF_K => at += jump(value == k),
            _ if code == BPF_JMP | BPF_JGE | BPF_K => at += jump(value >= k),
            _ if code == BPF_JMP | BPF_JGT | BPF_K => at += jump(value > k),
            _ if code == BPF_JMP | BPF_JSET | BPF_K => at += jump(value & k != 0),
            _ if code == BPF_RET | BPF_K => return (k, steps),
            _ => panic!("no filter has the instruction {code:#x}"),
        }
    }
}
