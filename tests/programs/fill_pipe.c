// fill_pipe FD: makes the open file behind a descriptor one that does not block, and writes until it takes no more.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int fd = argc > 1 ? atoi(argv[1]) : 2;
  static char line[100] = "x";
  if (fcntl(fd, F_SETFL, O_NONBLOCK)) return 3;
  while (write(fd, line, sizeof line) > 0) {
  }
  return 0;
}
