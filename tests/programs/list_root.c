// list_root: prints the names in the root directory, one in a line, sorted.
#include <dirent.h>
#include <stdio.h>

int main(void) {
  struct dirent **entries;
  int count = scandir("/", &entries, NULL, alphasort);
  for (int i = 0; i < count; i++) {
    if (entries[i]->d_name[0] != '.') puts(entries[i]->d_name);
  }
  return count < 0;
}
