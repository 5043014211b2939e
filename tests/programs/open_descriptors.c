// open_descriptors: prints the numbers of all open descriptors, in a line.
#include <fcntl.h>
#include <stdio.h>

int main(void) {
  for (int number = 0; number < 4096; number++) {
    if (fcntl(number, F_GETFD) >= 0) printf("%d ", number);
  }
  puts("");
  return 0;
}
