/* Buyers that cost next to nothing: each has a port of its own, and answers at once, never, or over TLS.
 *
 *   buyers PLAIN SILENT TLS [CERT KEY]      how many of each; CERT and KEY are PEM files
 *
 * Prints one line of JSON, {"plain":[ports],"silent":[ports],"tls":[ports]}. A request to /post is answered
 * "accepted", to /count with how many requests came in all, any other with a bid from 20.00 to 39.99.
 */
#include "wire.h"
#include <signal.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#else
typedef void SSL;
#endif

enum kind { PLAIN, SILENT, TLS, KINDS };
static const char *names[KINDS] = {"plain", "silent", "tls"};

struct listener {
    int is_listener, fd, port;
    enum kind kind;
};

struct connection {
    int is_listener, fd, used;
    enum kind kind;
    SSL *tls;
    char data[BUFFER];
};

static int epoll_fd;
static unsigned long requests;
static unsigned seed = 7;

static int answer(char *text, const char *request) {
    char body[128];
    int length;
    if (strncmp(request, "GET /count", 10) == 0) {
        length = sprintf(body, "{\"requests\":%lu}", requests);
    } else {
        requests++;
        if (strncmp(request, "POST /post", 10) == 0) {
            length = sprintf(body, "{\"status\":\"accepted\",\"buyer_lead_id\":\"b-%lu\"}", requests);
        } else {
            seed = seed * 1103515245u + 12345u;
            length = sprintf(body, "{\"bid\":%u.%02u,\"bid_id\":\"b-%lu\",\"expires_in\":60}", 20 + (seed >> 16) % 20,
                             (seed >> 8) % 100, requests);
        }
    }
    return sprintf(text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length,
                   body);
}

#ifdef WITH_TLS
static SSL_CTX *context;

static void load_context(const char *cert, const char *key) {
    context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (context == NULL || SSL_CTX_use_certificate_chain_file(context, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

static SSL *tls_of(int fd) {
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, fd);
    SSL_set_accept_state(tls);
    return tls;
}

/* As recv: what came, 0 at the end, -1 where nothing is there yet. */
static int receive(struct connection *connection, char *into, int room) {
    if (connection->tls == NULL) return recv(connection->fd, into, room, 0);
    ERR_clear_error();
    int got = SSL_read(connection->tls, into, room);
    if (got > 0) return got;
    int why = SSL_get_error(connection->tls, got);
    errno = EAGAIN;
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

static int transmit(struct connection *connection, const char *text, int length) {
    if (connection->tls == NULL) return send(connection->fd, text, length, MSG_NOSIGNAL);
    return SSL_write(connection->tls, text, length);
}

static void forget(SSL *tls) {
    if (tls != NULL) SSL_free(tls);
}
#else
static void load_context(const char *cert, const char *key) {
    (void)cert, (void)key;
    fprintf(stderr, "built without TLS\n");
    exit(1);
}
static SSL *tls_of(int fd) { return (void)fd, NULL; }
static int receive(struct connection *connection, char *into, int room) {
    return recv(connection->fd, into, room, 0);
}
static int transmit(struct connection *connection, const char *text, int length) {
    return send(connection->fd, text, length, MSG_NOSIGNAL);
}
static void forget(SSL *tls) { (void)tls; }
#endif

static void hang_up(struct connection *connection) {
    forget(connection->tls);
    close(connection->fd);
    free(connection);
}

static void read_connection(struct connection *connection) {
    char text[512];
    int body, whole;
    int got = receive(connection, connection->data + connection->used, BUFFER - 1 - connection->used);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        hang_up(connection);
        return;
    }
    connection->used += got;
    connection->data[connection->used] = 0;
    while ((whole = whole_message(connection->data, connection->used, &body)) != 0) {
        int length = whole < 0 || connection->kind == SILENT ? 0 : answer(text, connection->data);
        if (whole < 0 || (length > 0 && transmit(connection, text, length) != length)) {
            hang_up(connection);
            return;
        }
        connection->used -= whole;
        memmove(connection->data, connection->data + whole, connection->used + 1);
        if (connection->used == 0) return;
    }
}

static void accept_connection(struct listener *listener) {
    int fd = accept(listener->fd, NULL, NULL);
    if (fd < 0) return;
    struct connection *connection = calloc(1, sizeof *connection);
    connection->fd = fd;
    connection->kind = listener->kind;
    make_ready(fd);
    if (listener->kind == TLS) connection->tls = tls_of(fd);
    watch(epoll_fd, fd, connection);
}

static void listen_as(enum kind kind, int count) {
    printf("%s\"%s\":[", kind == PLAIN ? "{" : ",", names[kind]);
    for (int at = 0; at < count; at++) {
        struct listener *listener = calloc(1, sizeof *listener);
        listener->is_listener = 1;
        listener->kind = kind;
        listener->fd = listening(&listener->port);
        watch(epoll_fd, listener->fd, listener);
        printf("%s%d", at ? "," : "", listener->port);
    }
    printf("]");
}

int main(int count, char **words) {
    struct epoll_event events[EVENTS];
    signal(SIGPIPE, SIG_IGN);
    raise_limits();
    epoll_fd = epoll_create1(0);
    if (count != 4 && count != 6) return 2;
    if (count == 6) load_context(words[4], words[5]);
    for (enum kind kind = PLAIN; kind < KINDS; kind++) listen_as(kind, atoi(words[1 + kind]));
    printf("}\n");
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int at = 0; at < ready; at++) {
            void *owner = events[at].data.ptr;
            if (*(int *)owner) accept_connection(owner);
            else read_connection(owner);
        }
    }
}
