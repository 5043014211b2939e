// fill_files N: writes that many files of 1 KiB each (f0, f1, ...) until it cannot; prints how many, and why it stopped.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int wanted = argc > 1 ? atoi(argv[1]) : 1000;
  char name[32], block[1024];
  memset(block, 1, sizeof block);
  for (int i = 0; i < wanted; i++) {
    snprintf(name, sizeof name, "f%d", i);
    int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || write(file, block, sizeof block) != sizeof block) {
      printf("%d %s\n", i, strerror(errno));
      return 1;
    }
    close(file);
  }
  printf("%d\n", wanted);
  return 0;
}
