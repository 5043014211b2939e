// memory_bomb PROCESSES MIB: that many processes at once take that much memory each, and keep it for a second.
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int processes = argc > 1 ? atoi(argv[1]) : 1;
  size_t bytes = (size_t)(argc > 2 ? atoi(argv[2]) : 64) << 20;
  int is_child = 0;
  for (int i = 1; i < processes && !is_child; i++) {
    int pid = fork();
    if (pid < 0) return 3;
    is_child = pid == 0;
  }
  char *memory = malloc(bytes);
  if (!memory) return 4;
  // Not zero: a page of zeros need not be a page of its own.
  memset(memory, 0x5a, bytes);
  sleep(1);
  int status, failed = ((volatile char *)memory)[bytes - 1] != 0x5a;
  while (!is_child && wait(&status) > 0) failed |= status != 0;
  return failed;
}
