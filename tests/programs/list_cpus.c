// list_cpus: prints the CPUs that it may run on, as numbers in a line.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>

int main(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set)) return 3;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &set)) printf("%d ", cpu);
  }
  puts("");
  return 0;
}
