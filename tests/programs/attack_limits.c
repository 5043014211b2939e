// attack_limits NAME: takes more memory or time than it may, or will not end. Each attack is a run of its own; one that gives up
// ends with exit code 9.
#include "attack.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { MIB = 1 << 20, MUCH = 96 };

static char block[MIB];

static void fill(char *memory, size_t size) {
  if (memory == MAP_FAILED || !memory) _exit(9);
  memset(memory, 0x5a, size);
  // A compiler leaves out what nobody reads.
  __asm__ volatile("" : : "r"(memory) : "memory");
}
static void fill_file(int file) {
  for (int mib = 0; mib < MUCH; mib++)
    if (write(file, block, MIB) != MIB) _exit(9);
}

// Memory, of each kind.
static void heap(void) {
  for (int mib = 0; mib < MUCH; mib++) fill(malloc(MIB), MIB);
}
static void shared(void) {
  fill(mmap(NULL, MUCH * MIB, PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), MUCH * MIB);
}
static void file_in_memory(void) { fill_file(memfd_create("attack", 0)); }
static void files_that_are_lost(void) {
  for (int number = 0; number < MUCH; number++) {
    int file = memfd_create("attack", 0), pair[2];
    if (write(file, block, MIB) != MIB || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0) _exit(9);
  }
}
static void segment(void) {
  int made = shmget(IPC_PRIVATE, MUCH * MIB, IPC_CREAT | 0600);
  fill(shmat(made, NULL, 0), MUCH * MIB);
}
static void devices_shared(void) { fill_file(open("/dev/shm/attack", O_WRONLY | O_CREAT, 0600)); }
static void locked(void) {
  mlockall(MCL_FUTURE | MCL_CURRENT);
  fill(mmap(NULL, MUCH * MIB, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MUCH * MIB);
}
static void page_tables(void) {
  // A page in each 2 MiB, so that most of what is taken is tables.
  char *memory = mmap(NULL, 64UL << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) _exit(9);
  for (size_t at = 0; at < 64UL << 30; at += 2 << 20) memory[at] = 1;
}
static void children(void) {
  for (int child = 0; child < 8; child++)
    if (fork() == 0) {
      fill(malloc(16 * MIB), 16 * MIB);
      pause();
    }
  // None of them dies alone.
  wait(NULL);
  _exit(9);
}
static void orphans(void) {
  for (int child = 0; child < 8; child++)
    if (fork() == 0) {
      setsid();
      if (fork() == 0) {
        fill(malloc(16 * MIB), 16 * MIB);
        pause();
      }
      _exit(0);
    }
  pause();
}
static void stack(void) {
  char frame[MIB];
  fill(frame, sizeof frame);
  static int depth;
  if (depth++ < MUCH) stack();
  fill(frame, sizeof frame);
}
static void unmapped_copies(void) {
  // Memory of a child that was killed and is still a zombie is given back; that of one that lives is not.
  for (int child = 0; child < 16; child++)
    if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) {
      fill(mmap(NULL, 8 * MIB, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 8 * MIB);
      for (;;) pause();
    }
  for (;;) pause();
}

// CPU time.
static void burn(void) {
  for (volatile long count = 0;; count++) {
  }
}
static void *burn_thread(void *unused) {
  burn();
  return unused;
}
static void burn_against_signals(void) {
  for (int number = 1; number < 65; number++) signal(number, SIG_IGN);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  burn();
}
static void burn_in_handler(void) {
  signal(SIGXCPU, (void (*)(int))burn);
  burn();
}
static void burn_in_threads(void) {
  pthread_t thread;
  for (int number = 0; number < 4; number++) pthread_create(&thread, NULL, burn_thread, NULL);
  pause();
}
static void burn_in_child(void) {
  if (fork() == 0) burn();
  pause();
}
static void burn_in_orphan(void) {
  if (fork() == 0) {
    setsid();
    if (fork() == 0) burn();
    _exit(0);
  }
  pause();
}
static void burn_in_short_lives(void) {
  for (;;) {
    if (vfork() == 0) _exit(0);
    waitpid(-1, NULL, 0);
  }
}
static void burn_unwaited(void) {
  signal(SIGCHLD, SIG_IGN);
  for (;;)
    if (fork() == 0) {
      for (volatile int count = 0; count < 100000; count++) {
      }
      _exit(0);
    }
}
static void burn_in_the_kernel(void) {
  int zeros = open("/dev/zero", O_RDONLY);
  while (read(zeros, block, sizeof block) > 0) {
  }
}
static void burn_idly(void) {
  struct sched_param none = {0};
  sched_setscheduler(0, SCHED_IDLE, &none);
  setpriority(PRIO_PROCESS, 0, 19);
  burn();
}
static void burn_after_limit(void) {
  struct rlimit most;
  getrlimit(RLIMIT_CPU, &most);
  most.rlim_cur = most.rlim_max;
  setrlimit(RLIMIT_CPU, &most);
  burn_against_signals();
}
static void burn_everywhere(void) {
  cpu_set_t all;
  memset(&all, 0xff, sizeof all);
  sched_setaffinity(0, sizeof all, &all);
  burn();
}

// No end.
static void sleep_on(void) {
  for (;;) pause();
}
static void sleep_against_signals(void) {
  for (int number = 1; number < 65; number++) signal(number, SIG_IGN);
  sleep_on();
}
static void stopped(void) { raise(SIGSTOP); }
static void stopped_by_child(void) {
  pid_t parent = getpid();
  if (fork() == 0)
    for (;;) {
      kill(parent, SIGSTOP);
      usleep(1000);
    }
  sleep_on();
}
static void fifo_without_end(void) {
  mkfifo("endless", 0600);
  open("endless", O_RDONLY);
}
static void in_vfork(void) {
  if (vfork() == 0)
    for (;;) pause();
}
static void another_session(void) {
  if (fork() == 0) {
    setsid();
    prctl(PR_SET_PDEATHSIG, 0);
    sleep_on();
  }
  sleep_on();
}
static void many_sleepers(void) {
  while (fork() >= 0) {
  }
  sleep_on();
}
static void many_threads_asleep(void) {
  pthread_t thread;
  while (pthread_create(&thread, NULL, (void *(*)(void *))sleep_on, NULL) == 0) {
  }
  sleep_on();
}

// Ends that look like something else.
static void daemon_stays(void) {
  if (fork() == 0) {
    setsid();
    sleep_against_signals();
  }
}
static void output_is_held(void) {
  if (fork() == 0) sleep_on();
}
static void children_at_the_end(void) {
  // A chain in which each starts the next and ends.
  for (int link = 0; link < 20000 && fork() == 0; link++) {
  }
}
static void kills_itself(void) { kill(getpid(), SIGKILL); }
static void kills_everything(void) {
  kill(-1, SIGKILL);
  _exit(7);
}
static void aborts(void) { abort(); }
static void large_output(void) {
  signal(SIGXFSZ, SIG_IGN);
  int file = open("large", O_WRONLY | O_CREAT, 0600);
  while (write(file, block, sizeof block) > 0) {
  }
  struct stat found;
  fstat(file, &found);
  _exit(found.st_size <= 4 * MIB ? 7 : 8);
}
static void codes_of_others(void) { _exit(256 + 7); }

#define IS(NAME) {#NAME, NAME}
static const struct {
  const char *name;
  void (*attempt)(void);
} endings[] = {
    IS(heap), IS(shared), IS(file_in_memory), IS(files_that_are_lost), IS(segment), IS(devices_shared), IS(locked),
    IS(page_tables), IS(children), IS(orphans), IS(stack), IS(unmapped_copies), IS(burn), IS(burn_against_signals),
    IS(burn_in_handler), IS(burn_in_threads), IS(burn_in_child), IS(burn_in_orphan), IS(burn_in_short_lives),
    IS(burn_unwaited), IS(burn_in_the_kernel), IS(burn_idly), IS(burn_after_limit), IS(burn_everywhere), IS(sleep_on),
    IS(sleep_against_signals), IS(stopped), IS(stopped_by_child), IS(fifo_without_end), IS(in_vfork),
    IS(another_session), IS(many_sleepers), IS(many_threads_asleep), IS(daemon_stays), IS(output_is_held),
    IS(children_at_the_end), IS(kills_itself), IS(kills_everything), IS(aborts), IS(large_output), IS(codes_of_others),
};

int main(int argc, char **argv) {
  refuse_root();
  for (size_t at = 0; argc > 1 && at < sizeof endings / sizeof *endings; at++)
    if (strcmp(endings[at].name, argv[1]) == 0) {
      endings[at].attempt();
      return 0;
    }
  return 3;
}
