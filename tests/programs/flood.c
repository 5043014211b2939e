// flood: writes to standard output and standard error without end.
#include <unistd.h>

int main(void) {
  static char block[65536];
  while (write(1, block, sizeof block) > 0 && write(2, block, sizeof block) > 0) {
  }
  return 0;
}
