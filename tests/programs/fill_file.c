// fill_file PATH KIB: writes a file of that size; prints how many KiB it got to, and why it stopped when it did.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  char block[1024];
  memset(block, 1, sizeof block);
  int file = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644), wanted = atoi(argv[2]);
  for (int i = 0; i < wanted; i++) {
    if (file < 0 || write(file, block, sizeof block) != sizeof block) {
      printf("%d %s\n", i, strerror(errno));
      return 1;
    }
  }
  // Written late (delayed allocation) is refused late.
  if (fsync(file) && errno != EINVAL) {
    printf("%d %s\n", wanted, strerror(errno));
    return 1;
  }
  printf("%d\n", wanted);
  return 0;
}
