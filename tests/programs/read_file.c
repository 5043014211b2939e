// read_file PATH: reads a file that is safe on its disk, from the disk (its cached pages are let go first); prints how many KiB it read.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  char block[1024];
  int file = open(argv[1], O_RDONLY), kib = 0;
  if (file < 0 || posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED)) return 2;
  while (read(file, block, sizeof block) == sizeof block) kib++;
  printf("%d\n", kib);
  return 0;
}
