// attack_sockets: ways into a network, to services of the machine, and to sockets that reach into the kernel.
// The files `port` and `abstract`, where they are there, name a TCP port and an abstract socket that somebody outside listens on.
#include "attack.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static int stream(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static int datagram(void) { return socket(AF_INET, SOCK_DGRAM, 0); }

// Families.
#define FAMILY(NAME, NUMBER) ATTACK(NAME, socket(NUMBER, SOCK_DGRAM, 0))
FAMILY(amateur_radio, 3)
FAMILY(apple, 5)
FAMILY(x25, 9)
FAMILY(keys, 15)
FAMILY(packets, AF_PACKET)
FAMILY(reliable, 21)
FAMILY(over_ethernet, 24)
FAMILY(infiniband, 27)
FAMILY(cars, 29)
FAMILY(cluster, 30)
FAMILY(bluetooth, 31)
FAMILY(modular, 37)
FAMILY(algorithms, 38)
FAMILY(near_field, 39)
FAMILY(hypervisor, AF_VSOCK)
FAMILY(multiplexed, 41)
FAMILY(modem, 42)
FAMILY(shared_memory, 43)
FAMILY(express, 44)
FAMILY(management, 45)
ATTACK(raw_packets, socket(AF_PACKET, SOCK_RAW, 0x300))
ATTACK(old_packets, socket(AF_INET, 10, 0x300))
ATTACK(family_high_bits, syscall(SYS_socket, 0x100000000UL | AF_ALG, SOCK_SEQPACKET, 0))
ATTACK(hypervisor_odd, socket(AF_VSOCK, 15, 0))
static const char *hypervisor_pair(void) {
  int pair[2];
  return outcome(socketpair(AF_VSOCK, SOCK_STREAM, 0, pair));
}
static const char *algorithms_pair(void) {
  int pair[2];
  return outcome(socketpair(AF_ALG, SOCK_SEQPACKET, 0, pair));
}

// Protocols.
#define NETLINK(NAME, PROTOCOL) ATTACK(NAME, socket(AF_NETLINK, SOCK_RAW, PROTOCOL))
NETLINK(netlink_user, 2)
NETLINK(netlink_sockets, 4)
NETLINK(netlink_transform, 6)
NETLINK(netlink_audit, 9)
NETLINK(netlink_filter, 12)
NETLINK(netlink_devices, 15)
NETLINK(netlink_generic, 16)
NETLINK(netlink_crypto, 21)
ATTACK(raw_icmp, socket(AF_INET, SOCK_RAW, IPPROTO_ICMP))
ATTACK(raw_anything, socket(AF_INET, SOCK_RAW, IPPROTO_RAW))
ATTACK(sctp, socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP))
ATTACK(sctp_6, socket(AF_INET6, SOCK_STREAM, IPPROTO_SCTP))
ATTACK(dccp, socket(AF_INET, SOCK_DGRAM, 33))
ATTACK(udp_lite, socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE))

// Other machines, and other programs on this one.
static const char *connected(const char *address, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, address, &to.sin_addr);
  return outcome(connect(stream(), (void *)&to, sizeof to));
}
static const char *far_machine(void) { return connected("192.0.2.1", 80); }
static const char *cloud_metadata(void) { return connected("169.254.169.254", 80); }
static const char *name_server(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
  inet_pton(AF_INET, "192.0.2.53", &to.sin_addr);
  return outcome(sendto(datagram(), "x", 1, 0, (void *)&to, sizeof to));
}
static const char *far_machine_6(void) {
  struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
  inet_pton(AF_INET6, "2001:db8::1", &to.sin6_addr);
  return outcome(connect(socket(AF_INET6, SOCK_STREAM, 0), (void *)&to, sizeof to));
}
static const char *outer_loopback(void) {
  int port = 1;
  FILE *file = fopen("port", "r");
  if (!file || fscanf(file, "%d", &port) != 1) return "no port";
  return connected("127.0.0.1", port);
}
static const char *to_path(const char *path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strncpy(to.sun_path, path, sizeof to.sun_path - 1);
  return outcome(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, sizeof to));
}
static const char *outer_abstract(void) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  FILE *file = fopen("abstract", "r");
  if (!file || fscanf(file, "%100s", to.sun_path + 1) != 1) return "no name";
  socklen_t length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(to.sun_path + 1);
  return outcome(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, length));
}
static const char *system_bus(void) { return to_path("/run/dbus/system_bus_socket"); }
static const char *system_manager(void) { return to_path("/run/systemd/private"); }
static const char *system_log(void) { return to_path("/dev/log"); }
static const char *broker(void) { return to_path("/run/isolate/broker.sock"); }

// Rights over what there is.
static const char *set_option(int made, int level, int option) {
  int one = 1;
  return outcome(setsockopt(made, level, option, &one, sizeof one));
}
static const char *mark(void) { return set_option(stream(), SOL_SOCKET, SO_MARK); }
static const char *buffer_force(void) { return set_option(stream(), SOL_SOCKET, SO_RCVBUFFORCE); }
static const char *debug(void) { return set_option(stream(), SOL_SOCKET, SO_DEBUG); }
static const char *transparent(void) { return set_option(stream(), IPPROTO_IP, IP_TRANSPARENT); }
static const char *repair(void) { return set_option(stream(), IPPROTO_TCP, TCP_REPAIR); }
static const char *low_port(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(80)};
  return outcome(bind(stream(), (void *)&at, sizeof at));
}
static const char *interface_down(void) {
  struct ifreq request = {.ifr_name = "lo"};
  return outcome(ioctl(datagram(), SIOCSIFFLAGS, &request));
}
static const char *interface_address(void) {
  struct ifreq request = {.ifr_name = "lo"};
  request.ifr_addr.sa_family = AF_INET;
  return outcome(ioctl(datagram(), SIOCSIFADDR, &request));
}
static const char *new_interface(void) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg what;
  } request = {{sizeof request, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0}, {0}};
  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
    char rest[512];
  } answer = {0};
  int made = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  if (made < 0 || send(made, &request, sizeof request, 0) < 0 || recv(made, &answer, sizeof answer, 0) < 0)
    return strerrorname_np(errno);
  errno = -answer.error.error;
  return answer.error.error ? strerrorname_np(errno) : "done";
}
static const char *forged_sender(void) {
  int pair[2], on = 1;
  socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
  setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  struct ucred root = {1, 0, 0};
  char space[CMSG_SPACE(sizeof root)] = {0};
  struct iovec data = {"x", 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  struct cmsghdr *control = CMSG_FIRSTHDR(&message);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_CREDENTIALS;
  control->cmsg_len = CMSG_LEN(sizeof root);
  memcpy(CMSG_DATA(control), &root, sizeof root);
  return outcome(sendmsg(pair[0], &message, 0));
}

#define IS(NAME) {#NAME, NAME}
static const struct attack attacks[] = {
    IS(amateur_radio), IS(apple), IS(x25), IS(keys), IS(packets), IS(reliable), IS(over_ethernet), IS(infiniband),
    IS(cars), IS(cluster), IS(bluetooth), IS(modular), IS(algorithms), IS(near_field), IS(hypervisor), IS(multiplexed),
    IS(modem), IS(shared_memory), IS(express), IS(management), IS(raw_packets), IS(old_packets), IS(family_high_bits),
    IS(hypervisor_pair), IS(hypervisor_odd), IS(algorithms_pair), IS(netlink_user), IS(netlink_sockets), IS(netlink_transform),
    IS(netlink_audit), IS(netlink_filter), IS(netlink_devices), IS(netlink_generic), IS(netlink_crypto), IS(raw_icmp),
    IS(raw_anything), IS(sctp), IS(sctp_6), IS(dccp), IS(udp_lite), IS(far_machine), IS(cloud_metadata),
    IS(name_server), IS(far_machine_6), IS(outer_loopback), IS(outer_abstract), IS(system_bus), IS(system_manager),
    IS(system_log), IS(broker), IS(mark), IS(buffer_force), IS(debug), IS(transparent), IS(repair), IS(low_port),
    IS(interface_down), IS(interface_address), IS(new_interface), IS(forged_sender),
};
TRY(attacks)
