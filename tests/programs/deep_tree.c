// deep_tree DEPTH: a chain of processes, each the child of the one before; the last one is the deepest and all sleep.
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int depth = argc > 1 ? atoi(argv[1]) : 10;
  while (--depth > 0) {
    int pid = fork();
    if (pid < 0) return 3;
    if (pid > 0) break;
  }
  if (depth == 0) write(1, "bottom\n", 7);
  for (;;) pause();
}
