// follow FILE COMMAND ...: runs the command step by step, and writes into FILE the addresses of all instructions of its own file
// that it or a process that it made has executed, as the linker knows them. Takes a thousand times as long.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 16 << 20, PROCESSES = 64 };
static char seen[SIZE];

// Of each process that was met, where the command's file is in its memory, or 0.
static struct { pid_t pid; unsigned long base; } met[PROCESSES];
static int count;

static unsigned long base_of(pid_t pid, const char *command) {
  char path[64];
  unsigned long base = 0;
  struct stat own, its;
  snprintf(path, sizeof path, "/proc/%d/exe", pid);
  if (stat(command, &own) || stat(path, &its) || own.st_ino != its.st_ino || own.st_dev != its.st_dev) return 0;
  snprintf(path, sizeof path, "/proc/%d/maps", pid);
  FILE *maps = fopen(path, "r");
  // Below the file there may be the heap, and what the kernel puts into each process.
  char line[4352];
  while (maps && !base && fgets(line, sizeof line, maps))
    if (strchr(line, '/')) base = strtoul(line, NULL, 16);
  if (maps) fclose(maps);
  return base;
}

// Has a process that has stopped go on by a step, or at all if it has become another program.
static void go_on(pid_t pid, int status, const char *command) {
  int at = 0, sent = WSTOPSIG(status), event = status >> 16;
  while (at < count && met[at].pid != pid) at++;
  if (at == PROCESSES) {
    fprintf(stderr, "follow: too many processes\n");
    exit(1);
  }
  if (at == count) met[count++].pid = pid;
  if (!met[at].base || event == PTRACE_EVENT_EXEC) met[at].base = base_of(pid, command);
  if (sent == SIGTRAP || sent == SIGSTOP) sent = 0;
  if (!met[at].base) {
    ptrace(PTRACE_CONT, pid, 0, sent);
    return;
  }
  struct user_regs_struct registers;
  ptrace(PTRACE_GETREGS, pid, 0, &registers);
  unsigned long address = registers.rip - met[at].base;
  if (address < SIZE) seen[address] = 1;
  ptrace(PTRACE_SINGLESTEP, pid, 0, sent);
}

int main(int argc, char **argv) {
  FILE *file = argc > 2 ? fopen(argv[1], "w") : NULL;
  if (!file) {
    perror("follow FILE COMMAND ...");
    return 1;
  }
  pid_t first = fork(), pid = first;
  if (!first) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    execv(argv[2], argv + 2);
    _exit(127);
  }
  int status, all = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  waitpid(first, &status, 0);
  ptrace(PTRACE_SETOPTIONS, first, 0, all);
  // Until the command ends; what it has left behind is killed with this process.
  while (pid != first || WIFSTOPPED(status)) {
    if (WIFSTOPPED(status)) go_on(pid, status, argv[2]);
    pid = waitpid(-1, &status, __WALL);
  }
  for (unsigned long address = 0; address < SIZE; address++)
    if (seen[address]) fprintf(file, "%016lx\n", address);
  return fclose(file) || !WIFEXITED(status) || WEXITSTATUS(status);
}
