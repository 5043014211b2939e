// foreign_call: makes system calls of 32-bit programs: getpid, keyctl, flock. A 64-bit program can do so on x86; for ARM it is
// one of 32 bits, arm-linux-gnueabihf-gcc.
#include <stdio.h>

static long call(long number, long first, long second) {
#ifdef __arm__
  register long result __asm__("r0") = first;
  register long other __asm__("r1") = second;
  register long which __asm__("r7") = number;
  __asm__ volatile("svc #0" : "+r"(result) : "r"(other), "r"(which) : "memory");
#elif defined(__x86_64__)
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second) : "memory", "r8", "r9", "r10", "r11");
#else
  long result = -1;
  printf("no 32-bit program: call %ld(%ld, %ld)\n", number, first, second);
#endif
  return result;
}

#ifdef __arm__
#define KEYCTL 311
#else
#define KEYCTL 288
#endif

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  printf("getpid %s\n", call(20, 0, 0) > 0 ? "done" : "failed");
  printf("keyctl %ld\n", -call(KEYCTL, 0, 0x7fffffff));
  printf("flock %ld\n", -call(143, 1, 2));
  return 0;
}
