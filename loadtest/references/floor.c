/* The kernel floor: a fan-out with nothing in it but the sends and receives.
 *
 *   floor PORT...        the buyers' ports; prints `listens on http://127.0.0.1:PORT`
 *
 * POST /N takes the first N buyers: the body goes to each of them over a connection that is kept; when all have
 * answered, so do we. One process, one epoll, no parsing beyond where a message ends.
 */
#include "wire.h"

enum { MOST_BUYERS = 64, MOST_IDLE = 1024 };

struct client {
    int kind, fd, used, buyers, waiting;
    char data[BUFFER];
};

struct asked {
    int kind, fd, used, buyer;
    struct client *client;
    char data[BUFFER];
};

enum { LISTENER, CLIENT, ASKED };

static int epoll_fd, buyers_known;
static int ports[MOST_BUYERS], idle_count[MOST_BUYERS];
static struct asked *idle[MOST_BUYERS][MOST_IDLE];

static struct asked *connected(int buyer) {
    if (idle_count[buyer] > 0) return idle[buyer][--idle_count[buyer]];
    struct asked *asked = calloc(1, sizeof *asked);
    struct sockaddr_in address = loopback(ports[buyer]);
    asked->kind = ASKED;
    asked->buyer = buyer;
    asked->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(asked->fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    make_ready(asked->fd);
    watch(epoll_fd, asked->fd, asked);
    return asked;
}

static void fan_out(struct client *client, const char *body, int length) {
    char request[BUFFER + 256];
    client->buyers = client->waiting = atoi(strchr(client->data, '/') + 1);
    if (client->buyers < 1 || client->buyers > buyers_known) exit(2);
    for (int buyer = 0; buyer < client->buyers; buyer++) {
        struct asked *asked = connected(buyer);
        int size = sprintf(request,
                           "POST /ping HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                           "Content-Length: %d\r\n\r\n",
                           ports[buyer], length);
        memcpy(request + size, body, length);
        asked->client = client;
        if (send(asked->fd, request, size + length, 0) != size + length) die("send to a buyer");
    }
}

static void read_client(struct client *client) {
    int body, whole;
    int got = recv(client->fd, client->data + client->used, BUFFER - 1 - client->used, 0);
    if (got <= 0) {
        close(client->fd);
        client->fd = -1;
        if (client->waiting == 0) free(client); /* else once its buyers have answered */
        return;
    }
    client->used += got;
    client->data[client->used] = 0;
    whole = whole_message(client->data, client->used, &body);
    if (whole < 0) exit(2);
    if (whole > 0) {
        fan_out(client, client->data + body, whole - body);
        client->used = 0; /* one request at a time: nothing follows before our answer */
    }
}

static void answer(struct client *client) {
    char body[64], text[256];
    if (client->fd < 0) {
        free(client);
        return;
    }
    int length = sprintf(body, "{\"answers\":%d}", client->buyers);
    int size = sprintf(text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                       length, body);
    if (send(client->fd, text, size, MSG_NOSIGNAL) != size) die("send to a client");
}

static void read_asked(struct asked *asked) {
    int body, whole;
    int got = recv(asked->fd, asked->data + asked->used, BUFFER - 1 - asked->used, 0);
    if (got <= 0) die("a buyer hung up");
    asked->used += got;
    asked->data[asked->used] = 0;
    whole = whole_message(asked->data, asked->used, &body);
    if (whole < 0) exit(2);
    if (whole == 0) return;
    asked->used = 0;
    if (idle_count[asked->buyer] == MOST_IDLE) exit(2);
    idle[asked->buyer][idle_count[asked->buyer]++] = asked;
    if (--asked->client->waiting == 0) answer(asked->client);
}

static void accept_client(int listener) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) return;
    struct client *client = calloc(1, sizeof *client);
    client->kind = CLIENT;
    client->fd = fd;
    make_ready(fd);
    watch(epoll_fd, fd, client);
}

int main(int count, char **words) {
    struct epoll_event events[EVENTS];
    struct { int kind; } listener = {LISTENER};
    int port, listening_fd;
    raise_limits();
    for (int at = 1; at < count && buyers_known < MOST_BUYERS; at++) ports[buyers_known++] = atoi(words[at]);
    epoll_fd = epoll_create1(0);
    listening_fd = listening(&port);
    watch(epoll_fd, listening_fd, &listener);
    printf("listens on http://127.0.0.1:%d\n", port);
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int at = 0; at < ready; at++) {
            int kind = *(int *)events[at].data.ptr;
            if (kind == LISTENER) accept_client(listening_fd);
            else if (kind == CLIENT) read_client(events[at].data.ptr);
            else read_asked(events[at].data.ptr);
        }
    }
}
