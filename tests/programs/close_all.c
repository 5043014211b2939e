// close_all: closes every descriptor and exits with 7.
#include <unistd.h>

int main(void) {
  for (int number = 0; number < 4096; number++) close(number);
  return 7;
}
