// use_network WAY: leaves something in the network namespace, or tries to. `look` prints what there is to be seen there.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/in6.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// Older headers of the kernel (linux/in6.h) leave it to libc, which has not got it.
#ifndef IPV6_FLOWLABEL_MGR
#define IPV6_FLOWLABEL_MGR 32
#endif

static void need(int good, const char *what) {
  if (good) return;
  printf("%s: %s\n", what, strerror(errno));
  exit(1);
}

static struct sockaddr_in to(const char *address, int port) {
  struct sockaddr_in found = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, address, &found.sin_addr);
  return found;
}

// When the kernel last used the route to this machine that it remembers, in hundredths of a second; by netlink.
static long route(int family) {
  static const unsigned char self6[16] = {[15] = 1}, self[4] = {127, 0, 0, 1};
  struct { struct nlmsghdr header; struct rtmsg route; struct rtattr to; unsigned char address[16]; } ask = {0};
  int length = family == AF_INET ? 4 : 16, netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  ask.header.nlmsg_type = RTM_GETROUTE, ask.header.nlmsg_flags = NLM_F_REQUEST;
  ask.header.nlmsg_len = NLMSG_LENGTH(sizeof ask.route) + RTA_LENGTH(length);
  ask.route.rtm_family = family, ask.route.rtm_dst_len = length * 8;
  ask.to.rta_type = RTA_DST, ask.to.rta_len = RTA_LENGTH(length);
  memcpy(ask.address, family == AF_INET ? self : self6, length);
  need(send(netlink, &ask, ask.header.nlmsg_len, 0) > 0, "netlink");
  _Alignas(8) char answer[4096];
  ssize_t got = recv(netlink, answer, sizeof answer, 0);
  struct nlmsghdr *header = (void *)answer;
  need(got > 0, "answer");
  if (header->nlmsg_type != RTM_NEWROUTE) return -1;
  int left = RTM_PAYLOAD(header);
  close(netlink);
  for (struct rtattr *at = RTM_RTA(NLMSG_DATA(header)); RTA_OK(at, left); at = RTA_NEXT(at, left))
    if (at->rta_type == RTA_CACHEINFO) return ((struct rta_cacheinfo *)RTA_DATA(at))->rta_lastuse;
  return -2;
}

// The route may be made by the question, and the clock may go on before the answer.
static long not_now(long used) {
  return used > 0 && used < 5 ? 0 : used;
}

static void look(void) {
  static const char *files[] = {"dev", "snmp", "snmp6", "netstat", "ip6_flowlabel", "unix", "igmp", "udp", "tcp", "tcp6", "rt6_stats", "fib_triestat"};
  char text[32768], path[64];
  for (size_t at = 0; at < sizeof files / sizeof *files; at++) {
    snprintf(path, sizeof path, "/proc/net/%s", files[at]);
    int file = open(path, O_RDONLY);
    ssize_t length;
    printf("%s\n", path);
    while (file >= 0 && (length = read(file, text, sizeof text)) > 0) fwrite(text, 1, length, stdout);
  }
  int file = open("/proc/net/sockstat", O_RDONLY);
  need(read(file, text, sizeof text) > 0, "sockstat");
  printf("%.*s\n", (int)strcspn(text, "\n"), text);
  printf("routes used: %ld %ld\n", not_now(route(AF_INET)), not_now(route(AF_INET6)));
  unsigned char key[64];
  socklen_t length = sizeof key;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  need(getsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN_KEY, key, &length) == 0, "key");
  printf("key of %u bytes\n", length);
}

// To whoever has the other end of standard input.
static void hand_out(int socket) {
  union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control = {0};
  struct iovec text = {.iov_base = "x", .iov_len = 1};
  struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  control.header.cmsg_level = SOL_SOCKET, control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(&control.header), &socket, sizeof socket);
  need(sendmsg(0, &message, 0) == 1, "sendmsg");
}

int main(int argc, char **argv) {
  const char *way = argc > 1 ? argv[1] : "look";
  struct sockaddr_in self = to("127.0.0.1", 9999), away = to("10.1.2.3", 9999);
  if (!strcmp(way, "look")) {
    look();
    return 0;
  }
  if (!strcmp(way, "nothing")) {
    puts("done");
    return 0;
  }
  if (!strcmp(way, "ask") || !strcmp(way, "ask6")) {
    // The kernel remembers it for each processor.
    for (int times = 0; times < 20; times++) route(strcmp(way, "ask") ? AF_INET6 : AF_INET), usleep(1000);
    // Until the sockets do not count any more.
    usleep(300000);
    puts("done");
    return 0;
  }
  if (!strcmp(way, "name") || !strcmp(way, "hand_out")) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0somewhere"};
    int named = socket(AF_UNIX, SOCK_STREAM, 0);
    need(bind(named, (void *)&name, sizeof name) == 0 && listen(named, 1) == 0, "name");
    if (!strcmp(way, "hand_out")) hand_out(named);
    puts("done");
    return 0;
  }
  if (!strcmp(way, "open6")) {
    need(socket(AF_INET6, SOCK_STREAM, 0) >= 0, "socket");
    puts("done");
    return 0;
  }
  int datagrams = socket(AF_INET, SOCK_DGRAM, 0), datagrams6 = socket(AF_INET6, SOCK_DGRAM, 0);
  int stream = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (!strcmp(way, "open")) {
    need(stream >= 0, "socket");
  } else if (!strcmp(way, "connect_datagrams")) {
    struct sockaddr_in6 self6 = {.sin6_family = AF_INET6, .sin6_port = htons(9999), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    need(connect(datagrams, (void *)&self, sizeof self) == 0, "connect");
    need(connect(datagrams6, (void *)&self6, sizeof self6) == 0, "connect");
  } else if (!strcmp(way, "label_unmade")) {
    struct in6_flowlabel_req label = {.flr_label = htonl(0x12345), .flr_action = IPV6_FL_A_GET, .flr_share = IPV6_FL_S_EXCL};
    inet_pton(AF_INET6, "::1", &label.flr_dst);
    need(setsockopt(datagrams6, IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, &label, sizeof label) < 0 && errno == ENOENT, "label");
  } else if (!strcmp(way, "listen")) {
    need(bind(stream, (void *)&self, sizeof self) == 0 && listen(stream, 1) == 0, "listen");
  } else if (!strcmp(way, "send")) {
    need(sendto(datagrams, "x", 1, 0, (void *)&self, sizeof self) == 1, "send");
  } else if (!strcmp(way, "send_away")) {
    need(sendto(datagrams, "x", 1, 0, (void *)&away, sizeof away) < 0 && errno == ENETUNREACH, "send");
  } else if (!strcmp(way, "connect")) {
    need(connect(stream, (void *)&self, sizeof self) < 0 && errno == ECONNREFUSED, "connect");
  } else if (!strcmp(way, "connect_away")) {
    need(connect(stream, (void *)&away, sizeof away) < 0 && errno == ENETUNREACH, "connect");
  } else if (!strcmp(way, "linger")) {
    int client = socket(AF_INET, SOCK_STREAM, 0);
    need(bind(stream, (void *)&self, sizeof self) == 0 && listen(stream, 1) == 0, "listen");
    need(connect(client, (void *)&self, sizeof self) == 0, "connect");
    // Whoever closes first has a connection that stays for a minute.
    int server = accept(stream, NULL, NULL);
    need(server >= 0 && close(client) == 0 && close(server) == 0, "close");
  } else if (!strcmp(way, "group")) {
    struct ip_mreq group = {.imr_multiaddr = to("239.1.2.3", 0).sin_addr, .imr_interface = self.sin_addr};
    need(setsockopt(datagrams, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == 0, "group");
  } else if (!strcmp(way, "group6")) {
    struct ipv6_mreq group = {.ipv6mr_interface = if_nametoindex("lo")};
    inet_pton(AF_INET6, "ff05::1234", &group.ipv6mr_multiaddr);
    need(setsockopt(datagrams6, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group) == 0, "group");
  } else if (!strcmp(way, "label")) {
    struct in6_flowlabel_req label = {.flr_label = htonl(0x12345), .flr_action = IPV6_FL_A_GET, .flr_share = IPV6_FL_S_ANY};
    label.flr_flags = IPV6_FL_F_CREATE, label.flr_linger = 6, label.flr_expires = 60;
    inet_pton(AF_INET6, "::1", &label.flr_dst);
    need(setsockopt(datagrams6, IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, &label, sizeof label) == 0, "label");
  } else if (!strcmp(way, "fast_listen")) {
    need(setsockopt(stream, IPPROTO_TCP, TCP_FASTOPEN, &one, sizeof one) == 0, "fast");
    need(bind(stream, (void *)&self, sizeof self) == 0 && listen(stream, 1) == 0, "listen");
  } else {
    need(0, way);
  }
  puts("done");
  return 0;
}
