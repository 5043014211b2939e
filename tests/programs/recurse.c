// recurse KIB: uses that much stack.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int sink;

static void __attribute__((noinline)) descend(int left) {
  volatile char frame[1024];
  memset((char *)frame, left, sizeof frame);
  if (left > 0) descend(left - 1);
  sink += frame[left % 1024];
}

int main(int argc, char **argv) {
  descend(atoi(argc > 1 ? argv[1] : "1"));
  puts("done");
  return 0;
}
