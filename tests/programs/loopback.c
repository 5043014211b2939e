// loopback: sends itself a byte over TCP through 127.0.0.1.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0), sender = socket(AF_INET, SOCK_STREAM, 0);
  char byte = 'x';
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1) ||
      getsockname(listener, (struct sockaddr *)&address, &length) ||
      connect(sender, (struct sockaddr *)&address, sizeof address) || write(sender, &byte, 1) != 1) {
    puts(strerror(errno));
    return 1;
  }
  int receiver = accept(listener, NULL, NULL);
  byte = 0;
  if (read(receiver, &byte, 1) != 1 || byte != 'x') return 2;
  puts("done");
  return 0;
}
