// attack_rights: ways to other ids, capabilities, namespaces, privileges of the kernel.
#include "attack.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>

// Ids.
ATTACK(become_root, setuid(0))
ATTACK(become_root_group, setgid(0))
ATTACK(become_root_real, setreuid(0, -1))
ATTACK(become_root_saved, setresuid(-1, -1, 0))
ATTACK(become_group_saved, setresgid(-1, -1, 0))
ATTACK(become_neighbour, setuid(getuid() + 1))
static const char *groups(void) {
  gid_t root = 0;
  return outcome(setgroups(1, &root));
}
static const char *no_groups(void) { return getgroups(0, NULL) == 0 ? "none" : "some"; }
static const char *file_ids(void) {
  setfsuid(0);
  return setfsuid(-1) == 0 ? "done" : "unchanged";
}

// Set-user-ID files, by each call that sets a mode.
static int own_file(const char *name) { return open(name, O_RDWR | O_CREAT, 0700); }
static const char *of_own_file(int (*change)(const char *, mode_t), mode_t mode) {
  close(own_file("suid"));
  return outcome(change("suid", mode));
}
static const char *suid_chmod(void) { return of_own_file(chmod, 04755); }
static const char *sgid_chmod(void) { return of_own_file(chmod, 02755); }
ATTACK(suid_fchmod, fchmod(own_file("suid"), 06755))
ATTACK(suid_fchmodat, syscall(SYS_fchmodat, AT_FDCWD, "suid", 04755))
ATTACK(suid_fchmodat2, syscall(452, AT_FDCWD, "suid", 04755, 0))
ATTACK(suid_open, open("suid_open", O_WRONLY | O_CREAT, 04755))
ATTACK(suid_creat, creat("suid_creat", 04755))
ATTACK(suid_unnamed, open(".", O_WRONLY | O_TMPFILE, 04755))
ATTACK(suid_mknod, mknod("suid_mknod", S_IFREG | 04755, 0))
ATTACK(suid_mknodat, syscall(SYS_mknodat, AT_FDCWD, "suid_mknodat", S_IFREG | 02755, 0))
ATTACK(suid_high_bits, syscall(SYS_fchmodat, AT_FDCWD, "suid", 0xabcd00000000UL | 04755))
static const char *suid_openat2(void) {
  unsigned long how[3] = {O_WRONLY | O_CREAT, 04755, 0};
  return outcome(syscall(SYS_openat2, AT_FDCWD, "suid_openat2", how, sizeof how));
}
static const char *sgid_directory(void) {
  mkdir("sgid", 0700);
  return outcome(chmod("sgid", 02755));
}

// Capabilities and what keeps them away.
static const char *capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct all[2] = {{~0u, ~0u, ~0u}, {~0u, ~0u, ~0u}};
  return outcome(syscall(SYS_capset, &header, all));
}
static const char *inheritable(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct one[2] = {{0, 0, 1 << 21}};
  return outcome(syscall(SYS_capset, &header, one));
}
static const char *no_capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct has[2];
  if (syscall(SYS_capget, &header, has) < 0) return strerrorname_np(errno);
  unsigned any = 0;
  for (int word = 0; word < 2; word++) any |= has[word].effective | has[word].permitted | has[word].inheritable;
  return any ? "some" : "none";
}
static const char *bounding_set(void) {
  for (int capability = 0; capability <= 40; capability++)
    if (prctl(PR_CAPBSET_READ, capability) == 1) return "some";
  return "none";
}
ATTACK(ambient, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0))
ATTACK(secure_bits, prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP))
ATTACK(new_privileges, prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0))
static const char *no_new_privileges(void) { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? "held" : "free"; }
static const char *filtered(void) { return prctl(PR_GET_SECCOMP) == 2 ? "held" : "free"; }
ATTACK(no_filter, prctl(PR_SET_SECCOMP, 0))
ATTACK(memory_map, prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 0, 0))

// Namespaces.
ATTACK(unshare_user, unshare(CLONE_NEWUSER))
ATTACK(unshare_all, unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS))
ATTACK(unshare_user_high, syscall(SYS_unshare, 0xffffffff00000000UL | CLONE_NEWUSER))
ATTACK(unshare_mounts, unshare(CLONE_NEWNS))
ATTACK(unshare_processes, unshare(CLONE_NEWPID))
ATTACK(unshare_network, unshare(CLONE_NEWNET))
ATTACK(unshare_ipc, unshare(CLONE_NEWIPC))
ATTACK(unshare_names, unshare(CLONE_NEWUTS))
ATTACK(unshare_cgroup, unshare(CLONE_NEWCGROUP))
ATTACK(unshare_time, unshare(0x80))
static const char *cloned(unsigned long flags) {
  long child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) _exit(0);
  return outcome(child);
}
static const char *clone_user(void) { return cloned(CLONE_NEWUSER); }
static const char *clone_user_network(void) { return cloned(CLONE_NEWUSER | CLONE_NEWNET); }
static const char *clone_mounts(void) { return cloned(CLONE_NEWNS); }
static const char *clone_processes(void) { return cloned(CLONE_NEWPID); }
static const char *clone_network(void) { return cloned(CLONE_NEWNET); }
static const char *clone_3(void) {
  struct clone_args arguments = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
  long child = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (child == 0) _exit(0);
  return outcome(child);
}
static const char *clone_into_cgroup(void) {
  struct clone_args arguments = {.flags = 0x200000000ULL, .exit_signal = SIGCHLD, .cgroup = 0};
  long child = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (child == 0) _exit(0);
  return outcome(child);
}
ATTACK(enter_own_user, setns(open("/proc/self/ns/user", O_RDONLY), 0))
ATTACK(enter_inits_mounts, setns(open("/proc/1/ns/mnt", O_RDONLY), 0))
ATTACK(enter_init, setns(syscall(SYS_pidfd_open, 1, 0), CLONE_NEWNS | CLONE_NEWPID))
ATTACK(see_inits_mounts, open("/proc/1/ns/mnt", O_RDONLY))

// Names, clocks, priorities, limits.
ATTACK(host_name, sethostname("attack", 6))
ATTACK(domain_name, setdomainname("attack", 6))
static const char *wall_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return outcome(clock_settime(CLOCK_REALTIME, &now));
}
static const char *clock_speed(void) {
  struct timex change = {.modes = ADJ_FREQUENCY};
  return outcome(adjtimex(&change));
}
static const char *real_time(int policy) {
  struct sched_param parameters = {.sched_priority = 1};
  return outcome(sched_setscheduler(0, policy, &parameters));
}
static const char *first_come(void) { return real_time(SCHED_FIFO); }
static const char *round_robin(void) { return real_time(SCHED_RR); }
static const char *by_deadline(void) {
  struct {
    unsigned size, policy;
    unsigned long flags;
    int nice;
    unsigned priority;
    unsigned long runtime, deadline, period;
  } attributes = {sizeof attributes, 6, 0, 0, 0, 10000000, 30000000, 30000000};
  return outcome(syscall(SYS_sched_setattr, 0, &attributes, 0));
}
ATTACK(nicer, setpriority(PRIO_PROCESS, 0, -5))
// The real-time class of disks, 1.
ATTACK(disk_first, syscall(SYS_ioprio_set, 1, 0, 1 << 13))
static const char *raised(int resource) {
  struct rlimit limit;
  getrlimit(resource, &limit);
  if (limit.rlim_max == RLIM_INFINITY) return "unlimited";
  limit.rlim_cur = limit.rlim_max += 1;
  return outcome(setrlimit(resource, &limit));
}
static const char *more_processes(void) { return raised(RLIMIT_NPROC); }
static const char *core_files(void) { return raised(RLIMIT_CORE); }
static const char *locked_memory(void) { return raised(RLIMIT_MEMLOCK); }
static const char *real_time_limit(void) { return raised(RLIMIT_RTPRIO); }

#define IS(NAME) {#NAME, NAME}
static const struct attack attacks[] = {
    IS(become_root), IS(become_root_group), IS(become_root_real), IS(become_root_saved), IS(become_group_saved),
    IS(become_neighbour), IS(groups), IS(no_groups), IS(file_ids), IS(suid_chmod), IS(sgid_chmod), IS(suid_fchmod),
    IS(suid_fchmodat), IS(suid_fchmodat2), IS(suid_open), IS(suid_creat), IS(suid_unnamed), IS(suid_mknod),
    IS(suid_mknodat), IS(suid_high_bits), IS(suid_openat2), IS(sgid_directory), IS(capabilities), IS(inheritable),
    IS(no_capabilities), IS(bounding_set), IS(ambient), IS(secure_bits), IS(new_privileges), IS(no_new_privileges),
    IS(filtered), IS(no_filter), IS(memory_map), IS(unshare_user), IS(unshare_all), IS(unshare_user_high),
    IS(unshare_mounts), IS(unshare_processes), IS(unshare_network), IS(unshare_ipc), IS(unshare_names),
    IS(unshare_cgroup), IS(unshare_time), IS(clone_user), IS(clone_user_network), IS(clone_mounts),
    IS(clone_processes), IS(clone_network), IS(clone_3), IS(clone_into_cgroup), IS(enter_own_user),
    IS(enter_inits_mounts), IS(enter_init), IS(see_inits_mounts), IS(host_name), IS(domain_name), IS(wall_clock),
    IS(clock_speed), IS(first_come), IS(round_robin), IS(by_deadline), IS(nicer), IS(disk_first), IS(more_processes),
    IS(core_files), IS(locked_memory), IS(real_time_limit),
};
TRY(attacks)
