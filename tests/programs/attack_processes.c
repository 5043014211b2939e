// attack_processes: ways into init, the only process in sight that is not the program's own, and to what it may have left open.
#include "attack.h"

#include <dirent.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/uio.h>

static char here[16];
static struct iovec ours = {here, sizeof here};
static struct iovec theirs = {(void *)0x400000, sizeof here};

static int init(void) { return syscall(SYS_pidfd_open, 1, 0); }

// Signals.
ATTACK(look_for_init, kill(1, 0))
ATTACK(kill_init, kill(1, SIGKILL))
ATTACK(stop_init, kill(1, SIGSTOP))
ATTACK(end_init, kill(1, SIGTERM))
ATTACK(signal_thread_of_init, syscall(SYS_tgkill, 1, 1, SIGKILL))
ATTACK(signal_task_of_init, syscall(SYS_tkill, 1, SIGKILL))
static const char *queued_signal(void) {
  siginfo_t info = {.si_signo = SIGCHLD, .si_code = SI_QUEUE};
  return outcome(syscall(SYS_rt_sigqueueinfo, 1, SIGCHLD, &info));
}
static const char *forged_signal(void) {
  siginfo_t info = {.si_signo = SIGCHLD, .si_code = SI_KERNEL};
  return outcome(syscall(SYS_rt_sigqueueinfo, 1, SIGCHLD, &info));
}
ATTACK(signal_by_descriptor, syscall(SYS_pidfd_send_signal, init(), SIGKILL, NULL, 0))
static const char *kill_group_of_init(void) {
  pid_t group = getpgid(1);
  // 0 is a group outside of the namespace; to kill(2) it would be our own.
  return group > 1 ? outcome(kill(-group, SIGKILL)) : "hidden";
}

// Memory and descriptors.
ATTACK(trace_init, ptrace(PTRACE_ATTACH, 1, NULL, NULL))
ATTACK(seize_init, ptrace(PTRACE_SEIZE, 1, NULL, NULL))
ATTACK(read_init, process_vm_readv(1, &ours, 1, &theirs, 1, 0))
ATTACK(write_init, process_vm_writev(1, &ours, 1, &theirs, 1, 0))
ATTACK(take_descriptor, syscall(SYS_pidfd_getfd, init(), 0, 0))
ATTACK(compare_with_init, syscall(SYS_kcmp, getpid(), 1, KCMP_FILE, 0, 0))
ATTACK(advise_init, syscall(SYS_process_madvise, init(), &theirs, 1, 20, 0))
ATTACK(move_inits_pages, syscall(SYS_migrate_pages, 1, 0, NULL, NULL))
ATTACK(locks_of_init, syscall(SYS_get_robust_list, 1, here, here))

// Properties.
ATTACK(slow_init, setpriority(PRIO_PROCESS, 1, 19))
ATTACK(disk_of_init, syscall(SYS_ioprio_set, 1, 1, 3 << 13))
static const char *policy_of_init(void) {
  struct sched_param parameters = {0};
  return outcome(sched_setscheduler(1, SCHED_IDLE, &parameters));
}
static const char *cpus_of_init(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  return outcome(sched_setaffinity(1, sizeof set, &set));
}
static const char *limits_of_init(void) {
  struct rlimit limit = {0, 0};
  return outcome(prlimit(1, RLIMIT_CPU, &limit, NULL));
}
ATTACK(group_of_init, setpgid(1, 0))
ATTACK(join_group_of_init, setpgid(0, 1))

// What is left open, and who is in sight.
static const char *descriptors(void) {
  for (int number = 3; number < 4096; number++)
    if (fcntl(number, F_GETFD) >= 0) return "some";
  return "none";
}
static const char *neighbours(void) {
  DIR *processes = opendir("/proc");
  struct dirent *entry;
  while ((entry = readdir(processes))) {
    int number = atoi(entry->d_name);
    // The program is 2, and this one its child.
    if (number > 0 && number != 2 && number != getpid()) return "some";
  }
  return "none";
}
static const char *other_numbers(void) {
  // Services of the machine have low numbers, the attacks before this one lower ones.
  for (int number = 100; number < 5000; number++)
    if (kill(number, 0) == 0 || errno != ESRCH) return "some";
  return "none";
}
static const char *session(void) { return getsid(0) == 2 ? "own" : "callers"; }
// The numbers of 1 to 10, which a System V object of somebody else's may have.
static const char *segments(void) {
  struct shmid_ds found;
  for (int number = 0; number < 10; number++)
    if (shmctl(number, SHM_STAT, &found) >= 0 || errno == EACCES) return "some";
  return "none";
}
static const char *queues(void) {
  struct msqid_ds found;
  for (int number = 0; number < 10; number++)
    if (msgctl(number, MSG_STAT, &found) >= 0 || errno == EACCES) return "some";
  return "none";
}
// Nobody has to hear of what stays behind.
static const char *daemon_left(void) {
  if (fork() == 0) {
    setsid();
    alarm(0);
    signal(SIGTERM, SIG_IGN);
    if (fork() == 0)
      for (;;) pause();
    _exit(0);
  }
  return "done";
}

#define IS(NAME) {#NAME, NAME}
static const struct attack attacks[] = {
    IS(look_for_init), IS(kill_init), IS(stop_init), IS(end_init), IS(signal_thread_of_init), IS(signal_task_of_init),
    IS(queued_signal), IS(forged_signal), IS(signal_by_descriptor), IS(kill_group_of_init), IS(trace_init),
    IS(seize_init), IS(read_init), IS(write_init), IS(take_descriptor), IS(compare_with_init), IS(advise_init),
    IS(move_inits_pages), IS(locks_of_init), IS(slow_init), IS(disk_of_init), IS(policy_of_init), IS(cpus_of_init),
    IS(limits_of_init), IS(group_of_init), IS(join_group_of_init), IS(descriptors), IS(neighbours), IS(other_numbers),
    IS(session), IS(segments), IS(queues), IS(daemon_left),
};
TRY(attacks)
