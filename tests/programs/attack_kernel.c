// attack_kernel: calls that reach into the kernel, or that one processor has and another has not; and what /proc lets in.
#include "attack.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/swap.h>

// Calls.
static const char *load_program(void) {
  // BPF_PROG_LOAD of a socket filter: r0 = 0; exit.
  struct {
    unsigned char code, registers;
    short offset;
    int immediate;
  } code[2] = {{0xb7, 0, 0, 0}, {0x95, 0, 0, 0}};
  struct {
    unsigned type, count;
    unsigned long code, license;
    unsigned long rest[16];
  } attributes = {1, 2, (unsigned long)code, (unsigned long)"GPL", {0}};
  return outcome(syscall(SYS_bpf, 5, &attributes, sizeof attributes));
}
static const char *measure_system(void) {
  // PERF_TYPE_SOFTWARE, of all processes on the first processor.
  struct {
    unsigned type, size;
    unsigned long rest[15];
  } attributes = {1, sizeof attributes, {0}};
  return outcome(syscall(SYS_perf_event_open, &attributes, -1, 0, -1, 0));
}
ATTACK(page_faults, syscall(SYS_userfaultfd, 0))
ATTACK(ring, syscall(SYS_io_uring_setup, 1, NULL))
ATTACK(key_session, syscall(SYS_keyctl, 1, "attack"))
ATTACK(key_persistent, syscall(SYS_keyctl, 22, -1, -2))
ATTACK(key_add, syscall(SYS_add_key, "user", "attack", "x", 1, -4))
ATTACK(key_request, syscall(SYS_request_key, "user", "attack", "x", -4))
ATTACK(load_module, syscall(SYS_init_module, "", 0, ""))
ATTACK(load_module_file, syscall(SYS_finit_module, 0, "", 0))
ATTACK(unload_module, syscall(SYS_delete_module, "attack", O_NONBLOCK))
ATTACK(other_kernel, syscall(SYS_kexec_load, 0, 0, NULL, 0))
ATTACK(other_kernel_file, syscall(SYS_kexec_file_load, 0, 0, 0, "", 0))
// What Ctrl+Alt+Del does: harmless should it be allowed.
ATTACK(restart, syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL))
ATTACK(swap_on, swapon("/nowhere", 0))
ATTACK(swap_off, swapoff("/nowhere"))
ATTACK(accounting, syscall(SYS_acct, "account"))
ATTACK(quota, syscall(SYS_quotactl, 0x80000300, "/nowhere", 0, NULL))
ATTACK(clear_log, klogctl(5, NULL, 0))
ATTACK(hang_up, syscall(SYS_vhangup))
ATTACK(watch, inotify_init())
ATTACK(watch_1, inotify_init1(IN_NONBLOCK))
ATTACK(watch_all, fanotify_init(0x200, O_RDONLY))
#ifndef SYS_ioperm // a machine without ports: what is no call there, either
#define SYS_ioperm 0xffff
#define SYS_iopl 0xffff
#endif
ATTACK(ports, syscall(SYS_ioperm, 0x80, 1, 1))
ATTACK(all_ports, syscall(SYS_iopl, 3))
ATTACK(no_randomness, personality(ADDR_NO_RANDOMIZE))
static const char *requests_for_files(void) {
  unsigned long context = 0;
  return outcome(syscall(SYS_io_setup, 1, &context));
}
ATTACK(memory_pages, syscall(SYS_move_pages, 1, 0, NULL, NULL, NULL, 0))

// Locks of files that two boxes see, and news of them.
static int system_file(void) { return open("/usr/bin/env", O_RDONLY); }
static const char *lock_record(void) {
  struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
  return outcome(fcntl(system_file(), F_SETLK, &lock));
}
static const char *lock_open_file(void) {
  struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
  return outcome(fcntl(system_file(), F_OFD_SETLK, &lock));
}
ATTACK(lock_file, flock(system_file(), LOCK_SH))
ATTACK(lock_high_bits, syscall(SYS_fcntl, system_file(), 0xffff00000000UL | F_SETLK, NULL))
ATTACK(lease, fcntl(system_file(), F_SETLEASE, F_RDLCK))
ATTACK(notify, fcntl(open("/usr", O_RDONLY), F_NOTIFY, 1))

// Terminals. Standard input is none: an error of the terminal's own (ENOTTY) means that the call went through.
ATTACK(push_input, ioctl(0, TIOCSTI, "x"))
ATTACK(push_input_high_bits, syscall(SYS_ioctl, 0, 0xffff00000000UL | TIOCSTI, "x"))
ATTACK(paste, ioctl(0, TIOCLINUX, "\3"))
ATTACK(discipline, ioctl(0, TIOCSETD, NULL))
ATTACK(exclusive, ioctl(0, TIOCEXCL))
ATTACK(console, ioctl(0, TIOCCONS))
ATTACK(locked_settings, ioctl(0, 0x5457, NULL))
ATTACK(terminal_gone, ioctl(0, 0x5437))
ATTACK(output_stopped, ioctl(0, 0x540a, 0))
ATTACK(input_stopped, ioctl(0, 0x540a, 2))
ATTACK(own_terminal, open("/dev/tty", O_RDWR))

// Filters of the program's own.
static long add_filter(unsigned verdict, unsigned flags) {
  struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, verdict)};
  struct sock_fprog program = {1, code};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
static const char *filter_allows(void) {
  if (add_filter(SECCOMP_RET_ALLOW, 0) < 0) return "no filter";
  return outcome(inotify_init1(0));
}
// Were it asked about the call that is refused, nobody would answer, and the alarm end it.
static const char *filter_asks(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_inotify_init1, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {4, code};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program) < 0) return "no filter";
  return outcome(inotify_init1(0));
}
// A call of x32, which has other numbers for what is refused.
ATTACK(foreign_call, syscall(0x40000000 | SYS_inotify_init1))

// Huge pages, which no limit counts.
ATTACK(huge_pages, mmap(NULL, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0) == MAP_FAILED ? -1 : 0)
ATTACK(huge_file, memfd_create("attack", MFD_HUGETLB))
ATTACK(huge_segment, shmget(IPC_PRIVATE, 2 << 20, IPC_CREAT | SHM_HUGETLB | 0600))

// Files of the kernel.
static const char *written(const char *path, const char *text) {
  int file = open(path, O_WRONLY);
  if (file < 0) return outcome(file);
  return outcome(write(file, text, strlen(text)));
}
#define WRITE(NAME, PATH, TEXT) \
  static const char *NAME(void) { return written(PATH, TEXT); }
WRITE(core_pattern, "/proc/sys/kernel/core_pattern", "|/box/attack")
WRITE(modprobe_path, "/proc/sys/kernel/modprobe", "/box/attack")
WRITE(system_request, "/proc/sysrq-trigger", "h")
WRITE(drop_caches, "/proc/sys/vm/drop_caches", "1")
WRITE(last_to_die, "/proc/self/oom_score_adj", "-1000")
WRITE(die_later, "/proc/self/oom_score_adj", "1")
WRITE(map_users, "/proc/self/uid_map", "0 0 1")
WRITE(allow_groups, "/proc/self/setgroups", "allow")
WRITE(login_user, "/proc/self/loginuid", "0")
WRITE(dump_more, "/proc/self/coredump_filter", "0xff")
WRITE(own_memory, "/proc/self/mem", "x")
WRITE(pressure, "/proc/pressure/memory", "some 150000 1000000")
WRITE(binary_format, "/proc/sys/fs/binfmt_misc/register", ":a:M::x::/box/a:")
WRITE(interrupt, "/proc/irq/default_smp_affinity", "1")
WRITE(init_memory, "/proc/1/mem", "x")
ATTACK(kernel_memory, open("/proc/kcore", O_RDONLY))
ATTACK(kernel_log, open("/proc/kmsg", O_RDONLY))
ATTACK(init_environment, open("/proc/1/environ", O_RDONLY))
ATTACK(init_status, open("/proc/1/status", O_RDONLY))
ATTACK(tracing, open("/sys/kernel/tracing/trace", O_RDONLY))
ATTACK(kernel_settings, open("/sys/kernel", O_RDONLY))

// The control group.
static const char *own_group(void) {
  char text[256] = {0};
  int file = open("/proc/self/cgroup", O_RDONLY);
  if (read(file, text, sizeof text - 1) < 0) return strerrorname_np(errno);
  char *line = strstr(text, "0::");
  return line && strncmp(line, "0::/\n", 5) == 0 ? "root" : "seen";
}
WRITE(group_files, "/sys/fs/cgroup/cgroup.procs", "0")
ATTACK(group_made, mkdir("/sys/fs/cgroup/attack", 0700))
WRITE(group_killed, "/sys/fs/cgroup/cgroup.kill", "1")
WRITE(group_limit, "/sys/fs/cgroup/memory.max", "max")
static const char *group_flags(void) {
  struct statvfs found;
  if (statvfs("/sys/fs/cgroup", &found) < 0) return strerrorname_np(errno);
  return found.f_flag & ST_RDONLY ? "read-only" : "writable";
}

#define IS(NAME) {#NAME, NAME}
static const struct attack attacks[] = {
    IS(load_program), IS(measure_system), IS(page_faults), IS(ring), IS(key_session), IS(key_persistent), IS(key_add),
    IS(key_request), IS(load_module), IS(load_module_file), IS(unload_module), IS(other_kernel), IS(other_kernel_file),
    IS(restart), IS(swap_on), IS(swap_off), IS(accounting), IS(quota), IS(clear_log), IS(hang_up), IS(watch),
    IS(watch_1), IS(watch_all), IS(ports), IS(all_ports), IS(no_randomness), IS(memory_pages), IS(requests_for_files), IS(lock_record),
    IS(lock_open_file), IS(lock_file), IS(lock_high_bits), IS(lease), IS(notify), IS(push_input),
    IS(push_input_high_bits), IS(paste), IS(discipline), IS(exclusive), IS(console), IS(locked_settings),
    IS(terminal_gone), IS(output_stopped), IS(input_stopped), IS(own_terminal), IS(filter_allows), IS(filter_asks), IS(foreign_call), IS(huge_pages),
    IS(huge_file), IS(huge_segment), IS(core_pattern), IS(modprobe_path), IS(system_request), IS(drop_caches),
    IS(last_to_die), IS(die_later), IS(map_users), IS(allow_groups), IS(login_user), IS(dump_more), IS(own_memory),
    IS(pressure), IS(binary_format), IS(interrupt), IS(init_memory), IS(kernel_memory), IS(kernel_log),
    IS(init_environment), IS(init_status), IS(tracing), IS(kernel_settings), IS(own_group), IS(group_files),
    IS(group_made), IS(group_killed), IS(group_limit), IS(group_flags),
};
TRY(attacks)
