/* What both C programs need of HTTP/1.1 on loopback: whole messages with a Content-Length, and listening sockets. */
#ifndef WIRE_H
#define WIRE_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 16384, EVENTS = 256, BACKLOG = 4096 };

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* The length of the first message in `data` (which ends with a zero byte): 0 if it is not whole yet, -1 if it is none.
 * `*body` is where its body begins. */
static int whole_message(const char *data, int length, int *body) {
    const char *end = memmem(data, length, "\r\n\r\n", 4);
    if (end == NULL) return length < BUFFER - 1 ? 0 : -1;
    *body = (int)(end - data) + 4;
    for (const char *line = memchr(data, '\n', end - data); line != NULL && line < end;
         line = memchr(line, '\n', end - line)) {
        line++;
        if (strncasecmp(line, "content-length:", 15) == 0) {
            int whole = *body + atoi(line + 15);
            if (whole >= BUFFER) return -1;
            return whole <= length ? whole : 0;
        }
        if (strncasecmp(line, "transfer-encoding:", 18) == 0) return -1; /* nobody here sends chunks */
    }
    return *body;
}

static void make_ready(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) die("fcntl");
}

static void watch(int epoll, int fd, void *owner) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* A socket that listens on a free port of 127.0.0.1; the port goes to `*port`. */
static int listening(int *port) {
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, BACKLOG) < 0) die("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0) die("getsockname");
    *port = ntohs(address.sin_port);
    return fd;
}

/* As many descriptors as we may have. */
static void raise_limits(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

#endif
