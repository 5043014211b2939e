// allocate MIB: maps that much memory, uses it, and says whether it could.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int main(int argc, char **argv) {
  size_t bytes = (size_t)atoi(argc > 1 ? argv[1] : "1") << 20;
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    puts(strerror(errno));
    return 1;
  }
  memset(memory, 0x5a, bytes);
  puts("done");
  return 0;
}
