/* A child for tests that does what its arguments say and tells what happens to it. tests/support/worker.py lists the
   orders; obedient.py beside this file is the same in Python, for machines without a compiler. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { USAGE = 64, MAX_CHILDREN = 16 };

static const struct { const char *name; int number; } SIGNALS[] = {
    {"TERM", SIGTERM}, {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"HUP", SIGHUP},
    {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"CONT", SIGCONT}};
enum { SIGNALS_N = sizeof SIGNALS / sizeof *SIGNALS };

static int report = -1, wake[2], ignored[SIGNALS_N];
static long said, width, life = 600; /* said: numbered lines that were written whole */
static int saying;
static double every, stop_seconds;
static int stop_code;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void tell_at(int64_t when, const char *what, const char *format, ...) {
    if (report < 0) return;
    char line[4096];
    int n = snprintf(line, sizeof line, "%s %d %lld ", what, (int)getpid(), (long long)when);
    va_list args;
    va_start(args, format);
    n += vsnprintf(line + n, sizeof line - n - 1, format, args);
    va_end(args);
    if (n > (int)sizeof line - 2) n = sizeof line - 2;
    line[n++] = '\n';
    if (write(report, line, n) != n) _exit(USAGE);
}
#define tell(what, ...) tell_at(now_ns(), what, __VA_ARGS__)

static void fail(const char *order) {
    fprintf(stderr, "obedient: cannot do %s\n", order);
    exit(USAGE);
}

static void leave(int code) {
    if (saying) tell("said", "%ld", said);
    tell("leaving", "%d", code);
    exit(code);
}

static void on_signal(int number) {
    unsigned char byte = number;
    int kept = errno;
    if (write(wake[1], &byte, 1) < 0) _exit(USAGE);
    errno = kept;
}

static void rest(double seconds);

static void obey_signals(void) {
    unsigned char byte;
    while (read(wake[0], &byte, 1) == 1) {
        for (int i = 0; i < SIGNALS_N; i++) {
            if (SIGNALS[i].number != byte) continue;
            tell("signal", "%s", SIGNALS[i].name);
            if (ignored[i] || (byte != SIGTERM && byte != SIGINT && byte != SIGQUIT)) continue;
            for (int j = 0; j < 3; j++) ignored[j] = 1; /* TERM, INT and QUIT: one is enough */
            rest(stop_seconds);
            leave(stop_code);
        }
    }
}

static void rest(double seconds) { /* seconds < 0: for ever */
    int64_t end = now_ns() + (int64_t)(seconds * 1e9);
    for (;;) {
        int64_t left = end - now_ns();
        if (seconds >= 0 && left <= 0) return;
        struct pollfd fd = {wake[0], POLLIN, 0};
        poll(&fd, 1, seconds < 0 ? -1 : (int)((left + 999999) / 1000000));
        obey_signals();
    }
}

static void put(int fd, const char *text, size_t size) {
    while (size) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno != EINTR) {
            tell("broken", "%d", errno);
            leave(74);
        }
        if (n > 0) text += n, size -= n;
        if (size) obey_signals(); /* what is whole is counted first: it may leave there */
    }
}

static void say(int fd, long count) {
    char *line = malloc(width + 64);
    saying = 1;
    for (long i = 0; i < count; i++) {
        int n = snprintf(line, 64, "%d %ld ", (int)getpid(), said + 1);
        while (n < width - 1) line[n++] = 'x';
        line[n++] = '\n';
        put(fd, line, n);
        said++;
        obey_signals();
        if (every > 0) rest(every);
    }
    free(line);
    saying = 0;
    tell("said", "%ld", said);
}

static void eat(double megabytes) {
    size_t size = megabytes * 1048576;
    volatile char *food = malloc(size); /* volatile: a memset that nobody reads is optimized away */
    if (!food) fail("eat");
    for (size_t at = 0; at < size; at += 4096) food[at] = 1; /* touched, so that it counts */
    tell("ate", "%g", megabytes);
}

static void bear(const char *kind) { /* a child of its own: plain, deaf (to TERM) or session (in one of its own) */
    int born[2];
    char byte;
    if (pipe(born)) fail("child");
    pid_t pid = fork();
    if (pid < 0) fail("child");
    if (!pid) {
        for (int i = 0; i < SIGNALS_N; i++) signal(SIGNALS[i].number, SIG_DFL);
        if (!strcmp(kind, "deaf")) signal(SIGTERM, SIG_IGN);
        if (!strcmp(kind, "session")) setsid();
        alarm(life); /* not inherited */
        tell("child", "%s", kind);
        close(born[0]);
        close(born[1]);
        for (;;) pause();
    }
    close(born[1]);
    if (read(born[0], &byte, 1) < 0) fail("child");
    close(born[0]);
}

static void obey(char *order) {
    double number = 0;
    char word[8] = "";
    if (sscanf(order, "say %lf", &number) == 1) say(1, (long)number);
    else if (sscanf(order, "err %lf", &number) == 1) say(2, (long)number);
    else if (sscanf(order, "eat %lf", &number) == 1) eat(number);
    else if (sscanf(order, "exit %lf", &number) == 1) leave((int)number);
    else if (sscanf(order, "die %7s", word) == 1) {
        signal(atoi(word), SIG_DFL);
        kill(getpid(), atoi(word));
    } else fail(order);
}

int main(int argc, char **argv) {
    int64_t began = now_ns();
    const char *name = "", *text = NULL, *control = NULL, *children[MAX_CHILDREN];
    long lines = 0, errors = 0;
    double food = 0, after = 0;
    int leaves = 0, code = 0, death = 0, born = 0;
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) fail(argv[i]);
        size_t n = value++ - argv[i];
#define IS(order) (n == sizeof order - 1 && !strncmp(argv[i], order, n))
        if (IS("name")) name = value;
        else if (IS("report")) report = open(value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        else if (IS("text")) text = value;
        else if (IS("lines")) lines = atol(value);
        else if (IS("errors")) errors = atol(value);
        else if (IS("width")) width = atol(value);
        else if (IS("every")) every = atof(value);
        else if (IS("exit")) leaves = 1, code = atoi(value);
        else if (IS("die")) death = atoi(value);
        else if (IS("after")) after = atof(value);
        else if (IS("stop")) stop_seconds = atof(value);
        else if (IS("stop_code")) stop_code = atoi(value);
        else if (IS("eat")) food = atof(value);
        else if (IS("control")) control = value;
        else if (IS("life")) life = atol(value);
        else if (IS("child") && born < MAX_CHILDREN) children[born++] = value;
        else if (IS("ignore")) {
            for (char *word = strtok(value, ","); word; word = strtok(NULL, ",")) {
                int known = 0;
                for (int s = 0; s < SIGNALS_N; s++)
                    if (!strcmp(SIGNALS[s].name, word)) ignored[s] = known = 1;
                if (!known) fail(word);
            }
        } else fail(argv[i]);
    }
    if (pipe(wake)) fail("pipe");
    for (int i = 0; i < 2; i++) {
        fcntl(wake[i], F_SETFL, O_NONBLOCK);
        fcntl(wake[i], F_SETFD, FD_CLOEXEC);
    }
    for (int i = 0; i < SIGNALS_N; i++) {
        struct sigaction action = {0};
        action.sa_handler = on_signal;
        sigaction(SIGNALS[i].number, &action, NULL);
    }
    alarm(life);
    if (food > 0) eat(food);
    for (int i = 0; i < born; i++) bear(children[i]);
    int orders = control ? open(control, O_RDWR | O_CLOEXEC) : -1; /* both ends, so that it never meets EOF */
    if (control && orders < 0) fail(control);
    tell_at(began, "ready", "%s", name);
    if (text) {
        put(1, text, strlen(text));
        put(1, "\n", 1);
    }
    if (lines) say(1, lines);
    if (errors) say(2, errors);
    if (leaves || death) rest(after);
    if (death) {
        signal(death, SIG_DFL);
        kill(getpid(), death);
    }
    if (leaves) leave(code);
    char line[512];
    size_t held = 0;
    for (;;) {
        struct pollfd fds[2] = {{wake[0], POLLIN, 0}, {orders, POLLIN, 0}};
        poll(fds, 2, -1);
        obey_signals();
        if (!(fds[1].revents & POLLIN)) continue;
        ssize_t n = read(orders, line + held, sizeof line - held - 1);
        if (n > 0) held += n;
        line[held] = 0;
        for (char *end; (end = strchr(line, '\n'));) {
            *end = 0;
            obey(line);
            held -= end + 1 - line;
            memmove(line, end + 1, held + 1);
        }
        if (held == sizeof line - 1) fail("so long an order");
    }
}
