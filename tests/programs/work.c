// work: the same computation and the same memory each time, some 200 ms.
#include <stdint.h>
#include <stdlib.h>

int main(void) {
  enum { SIZE = 1 << 18 };
  uint64_t *numbers = malloc(SIZE * sizeof *numbers), state = 1;
  if (!numbers) return 3;
  for (int round = 0; round < 400; round++)
    for (int at = 0; at < SIZE; at++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      numbers[(state >> 40) % SIZE] += state;
    }
  uint64_t sum = 0;
  for (int at = 0; at < SIZE; at++) sum += numbers[at];
  return sum == 42;
}
