/* Descriptors by name: those that came by the systemd convention, and those received later. */
#ifndef NAMED_FDS_H
#define NAMED_FDS_H

struct named_fd {
	char name[64];
	int fd;
};

/* Takes LISTEN_FDS and LISTEN_FDNAMES, if LISTEN_PID is this process. */
void named_fds_adopt(void);
/* Gives a descriptor a name; the number, or -1 when the table is full. */
int named_fds_add(const char *name, int fd);
/* The descriptor of that name, or -1. */
int named_fds_find(const char *name);
/* Closes and forgets it; 0, or -1 with errno. */
int named_fds_close(const char *name);
int named_fds_count(void);
const struct named_fd *named_fds_at(int index);

#endif
