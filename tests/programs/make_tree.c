// make_tree DEPTH: makes directories inside each other, deeper than any path, with names of all bytes, links to
// everywhere, FIFOs, sockets, hard links and directories that nobody may read.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int depth = argc > 1 ? atoi(argv[1]) : 10;
  for (int byte = 1; byte < 256; byte++) {
    char name[3] = {(char)byte, 'x', 0};
    if (byte != '/' && mkdir(name, 0)) return 2;
  }
  char longest[256];
  memset(longest, '\n', 255);
  longest[255] = 0;
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  if (close(creat(longest, 0)) || mkfifo("fifo", 0) || symlink("/etc/shadow", "link") || symlink("..", "up") ||
      symlink("loop", "loop") || link(longest, "hard") || symlink("/proc/self/root", "magic") ||
      bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address)) {
    return 3;
  }
  for (int i = 0; i < depth; i++) {
    if (mkdir("d", 0700) || chdir("d") || close(creat("-rf *", 0)) || symlink("/", "root")) return 4;
  }
  return 0;
}
