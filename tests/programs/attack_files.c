// attack_files: ways out of the file system of a box, and files that are hard to give back or to remove.
#include "attack.h"

#include <linux/fs.h>
#include <linux/mount.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

static int own_file(const char *name) { return open(name, O_RDWR | O_CREAT, 0600); }

// Ways out.
ATTACK(dot_dot, open("../../../../../../../etc/shadow", O_RDONLY))
ATTACK(proc_root, open("/proc/self/root/../../etc/shadow", O_RDONLY))
ATTACK(proc_cwd, open("/proc/self/cwd/../../../etc/shadow", O_RDONLY))
ATTACK(init_root, open("/proc/1/root/etc/shadow", O_RDONLY))
ATTACK(init_cwd, open("/proc/1/cwd", O_RDONLY))
static const char *link_out(void) {
  if (symlink("/etc/shadow", "link_out") < 0) return "no link";
  int opened = open("link_out", O_RDONLY);
  const char *word = outcome(opened);
  unlink("link_out");
  return word;
}
ATTACK(hard_link_to_system, link("/usr/bin/env", "env"))
ATTACK(rename_system, rename("/usr/bin/env", "/usr/bin/attack"))
ATTACK(change_root, chroot("."))
ATTACK(pivot, syscall(SYS_pivot_root, ".", "."))
ATTACK(root_of_devices, open("/dev/../../etc/shadow", O_RDONLY))
static const char *file_handle(void) {
  // The root directory of an ext4 is inode 2.
  struct {
    struct file_handle handle;
    uint32_t inode[2];
  } made = {.handle = {.handle_bytes = 8, .handle_type = 1}, .inode = {2, 0}};
  return outcome(open_by_handle_at(open("/box", O_RDONLY), &made.handle, O_RDONLY));
}
static const char *handle_of_system(void) {
  struct {
    struct file_handle handle;
    char bytes[MAX_HANDLE_SZ];
  } made = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
  int mount;
  if (name_to_handle_at(AT_FDCWD, "/usr", &made.handle, &mount, 0) < 0) made.handle.handle_bytes = 8;
  return outcome(open_by_handle_at(open("/usr", O_RDONLY), &made.handle, O_RDONLY));
}

// Mounts.
ATTACK(mount_tmpfs, mount("none", "/tmp", "tmpfs", 0, NULL))
ATTACK(mount_proc, mount("none", "/tmp", "proc", 0, NULL))
ATTACK(mount_sysfs, mount("none", "/tmp", "sysfs", 0, NULL))
ATTACK(mount_cgroup2, mount("none", "/tmp", "cgroup2", 0, NULL))
ATTACK(mount_binfmt, mount("none", "/tmp", "binfmt_misc", 0, NULL))
ATTACK(mount_bind, mount("/", "/tmp", NULL, MS_BIND, NULL))
ATTACK(mount_writable, mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL))
ATTACK(mount_shared, mount(NULL, "/", NULL, MS_SHARED | MS_REC, NULL))
ATTACK(unmount_box, umount2("/box", MNT_DETACH))
ATTACK(unmount_proc, umount2("/proc", MNT_DETACH))
ATTACK(unmount_root, umount2("/", MNT_DETACH))
ATTACK(copy_tree, syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | AT_RECURSIVE))
ATTACK(new_file_system, syscall(SYS_fsopen, "tmpfs", 0))
ATTACK(pick_file_system, syscall(SYS_fspick, AT_FDCWD, "/", 0))
ATTACK(move_tree, syscall(SYS_move_mount, AT_FDCWD, "/usr", AT_FDCWD, "/tmp", 0))
static const char *mount_attributes(void) {
  struct mount_attr attributes = {.attr_clr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
  return outcome(syscall(SYS_mount_setattr, AT_FDCWD, "/usr", AT_RECURSIVE, &attributes, sizeof attributes));
}

// What is read-only.
ATTACK(write_root, mkdir("/attack", 0700))
ATTACK(write_system, open("/usr/attack", O_WRONLY | O_CREAT, 0600))
ATTACK(cut_system, truncate("/usr/bin/env", 0))
ATTACK(mode_of_system, chmod("/usr/bin/env", 0777))
ATTACK(write_devices, open("/dev/attack", O_WRONLY | O_CREAT, 0600))
ATTACK(times_of_null, utimensat(AT_FDCWD, "/dev/null", NULL, 0))
ATTACK(mode_of_null, chmod("/dev/null", 0))
ATTACK(own_image, open("/proc/self/exe", O_WRONLY))

// Devices.
ATTACK(make_null, mknod("null", S_IFCHR | 0666, makedev(1, 3)))
ATTACK(make_memory, mknod("mem", S_IFCHR | 0666, makedev(1, 1)))
ATTACK(make_disk, mknod("disk", S_IFBLK | 0666, makedev(8, 0)))
ATTACK(device_memory, open("/dev/mem", O_RDONLY))
ATTACK(device_log, open("/dev/kmsg", O_RDONLY))
ATTACK(device_fuse, open("/dev/fuse", O_RDWR))
ATTACK(device_tunnel, open("/dev/net/tun", O_RDWR))
ATTACK(device_kvm, open("/dev/kvm", O_RDWR))
ATTACK(device_disk, open("/dev/sda", O_RDONLY))

// States of files.
ATTACK(give_to_root, fchown(own_file("given"), 0, 0))
static const char *immutable(void) {
  int flags = FS_IMMUTABLE_FL;
  return outcome(ioctl(own_file("immutable"), FS_IOC_SETFLAGS, &flags));
}
static const char *append_only(void) {
  int flags = FS_APPEND_FL;
  return outcome(ioctl(own_file("append"), FS_IOC_SETFLAGS, &flags));
}
static const char *project(void) {
  struct fsxattr attributes = {.fsx_projid = 1};
  return outcome(ioctl(own_file("project"), FS_IOC_FSSETXATTR, &attributes));
}
ATTACK(verity, ioctl(own_file("verity"), 0x40806685, NULL))
ATTACK(subvolume, ioctl(open(".", O_RDONLY), 0x5000940e, NULL))
ATTACK(subvolume_2, ioctl(open(".", O_RDONLY), 0x50009418, NULL))
ATTACK(snapshot, ioctl(open(".", O_RDONLY), 0x50009417, NULL))
ATTACK(subvolume_state, ioctl(open(".", O_RDONLY), 0x4008941a, NULL))
ATTACK(states_in_high_bits, ioctl(own_file("high"), 0xdeadbeef00000000UL | FS_IOC_SETFLAGS, NULL))
static const char *hint(void) {
  uint64_t lives = 5;
  return outcome(fcntl(open("/usr/bin/env", O_RDONLY), 1036, &lives));
}
static const char *hint_of_device(void) {
  uint64_t lives = 5;
  return outcome(fcntl(open("/dev/null", O_RDONLY), 1038, &lives));
}
ATTACK(freeze, ioctl(open(".", O_RDONLY), FIFREEZE, 0))
ATTACK(trusted_attribute, fsetxattr(own_file("trusted"), "trusted.attack", "x", 1, 0))
static const char *file_capability(void) {
  // Version 2, effective, CAP_SYS_ADMIN.
  uint32_t all[5] = {0x02000001, 1 << 21, 0, 0, 0};
  return outcome(fsetxattr(own_file("capable"), "security.capability", all, sizeof all, 0));
}

// What is allowed, and must not be in the way of whoever has the box next.
static const char *deep_tree(void) {
  // Deeper than any path, which has 4096 bytes at most.
  for (int depth = 0; depth < 900; depth++)
    if (mkdir("depth", 0700) < 0 || chdir("depth") < 0) return strerrorname_np(errno);
  return "done";
}
static const char *many_links(void) {
  char name[32];
  close(own_file("linked"));
  for (int number = 0; number < 300; number++) {
    snprintf(name, sizeof name, "linked-%d", number);
    if (link("linked", name) < 0) return strerrorname_np(errno);
  }
  return "done";
}
ATTACK(exabyte, ftruncate(own_file("exabyte"), 1L << 43))
ATTACK(beyond_the_end, ftruncate(own_file("beyond"), INT64_MAX))
ATTACK(fifo, mkfifo("fifo", 0600))
static const char *socket_file(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  return outcome(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, sizeof address));
}
static const char *closed_directory(void) {
  mkdir("closed", 0700);
  mkdir("closed/inner", 0);
  return outcome(chmod("closed", 0));
}
static const char *odd_names(void) {
  for (int byte = 1; byte < 256; byte++) {
    char name[8] = {'n', (char)byte, 0};
    if (byte != '/' && close(own_file(name)) < 0) return strerrorname_np(errno);
  }
  return "done";
}

#define IS(NAME) {#NAME, NAME}
static const struct attack attacks[] = {
    IS(dot_dot), IS(proc_root), IS(proc_cwd), IS(init_root), IS(init_cwd), IS(link_out), IS(hard_link_to_system),
    IS(rename_system), IS(change_root), IS(pivot), IS(root_of_devices), IS(file_handle), IS(handle_of_system),
    IS(mount_tmpfs), IS(mount_proc), IS(mount_sysfs), IS(mount_cgroup2), IS(mount_binfmt), IS(mount_bind),
    IS(mount_writable), IS(mount_shared), IS(unmount_box), IS(unmount_proc), IS(unmount_root), IS(copy_tree),
    IS(new_file_system), IS(pick_file_system), IS(move_tree), IS(mount_attributes), IS(write_root), IS(write_system),
    IS(cut_system), IS(mode_of_system), IS(write_devices), IS(times_of_null), IS(mode_of_null), IS(own_image),
    IS(make_null), IS(make_memory), IS(make_disk), IS(device_memory), IS(device_log), IS(device_fuse),
    IS(device_tunnel), IS(device_kvm), IS(device_disk), IS(give_to_root), IS(immutable), IS(append_only), IS(project),
    IS(verity), IS(subvolume), IS(subvolume_2), IS(snapshot), IS(subvolume_state), IS(states_in_high_bits), IS(hint),
    IS(hint_of_device), IS(freeze),
    IS(trusted_attribute), IS(file_capability), IS(deep_tree), IS(many_links), IS(exabyte), IS(beyond_the_end),
    IS(fifo), IS(socket_file), IS(closed_directory), IS(odd_names),
};
TRY(attacks)
