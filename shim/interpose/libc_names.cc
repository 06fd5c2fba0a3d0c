// Names that libc looks up in databases: users, groups, hosts, services … The forms without _r hold
// a lock for as long as a name service takes.
#include <aliases.h>
#include <grp.h>
#include <gshadow.h>
#include <netdb.h>
#include <pwd.h>
#include <shadow.h>
#include <utmp.h>
#include <utmpx.h>

#include "shim/interpose/libc_calls.h"

#define FORKMEND_LIBC_LOCK "users and groups"

// Users and groups.
FORKMEND_LIBC_CALL(passwd*, getpwnam, (const char* name), (name))
FORKMEND_LIBC_CALL(int, getpwnam_r,
                   (const char* name, passwd* into, char* buffer, size_t size, passwd** result),
                   (name, into, buffer, size, result))
FORKMEND_LIBC_CALL(passwd*, getpwuid, (uid_t id), (id))
FORKMEND_LIBC_CALL(int, getpwuid_r,
                   (uid_t id, passwd* into, char* buffer, size_t size, passwd** result),
                   (id, into, buffer, size, result))
FORKMEND_LIBC_CALL(passwd*, getpwent, (), ())
FORKMEND_LIBC_CALL(int, getpwent_r, (passwd * into, char* buffer, size_t size, passwd** result),
                   (into, buffer, size, result))
FORKMEND_LIBC_CALL(void, setpwent, (), ())
FORKMEND_LIBC_CALL(void, endpwent, (), ())
FORKMEND_LIBC_CALL(group*, getgrnam, (const char* name), (name))
FORKMEND_LIBC_CALL(int, getgrnam_r,
                   (const char* name, group* into, char* buffer, size_t size, group** result),
                   (name, into, buffer, size, result))
FORKMEND_LIBC_CALL(group*, getgrgid, (gid_t id), (id))
FORKMEND_LIBC_CALL(int, getgrgid_r,
                   (gid_t id, group* into, char* buffer, size_t size, group** result),
                   (id, into, buffer, size, result))
FORKMEND_LIBC_CALL(group*, getgrent, (), ())
FORKMEND_LIBC_CALL(int, getgrent_r, (group * into, char* buffer, size_t size, group** result),
                   (into, buffer, size, result))
FORKMEND_LIBC_CALL(void, setgrent, (), ())
FORKMEND_LIBC_CALL(void, endgrent, (), ())
FORKMEND_LIBC_CALL(int, getgrouplist, (const char* user, gid_t group, gid_t* groups, int* count),
                   (user, group, groups, count))
FORKMEND_LIBC_CALL(int, initgroups, (const char* user, gid_t group), (user, group))
FORKMEND_LIBC_CALL(spwd*, getspnam, (const char* name), (name))
FORKMEND_LIBC_CALL(int, getspnam_r,
                   (const char* name, spwd* into, char* buffer, size_t size, spwd** result),
                   (name, into, buffer, size, result))
FORKMEND_LIBC_CALL(spwd*, getspent, (), ())
FORKMEND_LIBC_CALL(int, getspent_r, (spwd * into, char* buffer, size_t size, spwd** result),
                   (into, buffer, size, result))
FORKMEND_LIBC_CALL(void, setspent, (), ())
FORKMEND_LIBC_CALL(void, endspent, (), ())
FORKMEND_LIBC_CALL(sgrp*, getsgnam, (const char* name), (name))
FORKMEND_LIBC_CALL(int, getsgnam_r,
                   (const char* name, sgrp* into, char* buffer, size_t size, sgrp** result),
                   (name, into, buffer, size, result))

// Hosts and networks.
#undef FORKMEND_LIBC_LOCK
#define FORKMEND_LIBC_LOCK "hosts and networks"
FORKMEND_LIBC_RESOLVER(int, getaddrinfo,
                       (const char* node, const char* service, const addrinfo* hints,
                        addrinfo** result),
                       (node, service, hints, result))
FORKMEND_LIBC_RESOLVER(int, getnameinfo,
                       (const sockaddr* address, socklen_t size, char* host, socklen_t host_size,
                        char* service, socklen_t service_size, int flags),
                       (address, size, host, host_size, service, service_size, flags))
FORKMEND_LIBC_CALL(hostent*, gethostbyname, (const char* name), (name))
FORKMEND_LIBC_RESOLVER(int, gethostbyname_r,
                       (const char* name, hostent* into, char* buffer, size_t size,
                        hostent** result, int* error),
                       (name, into, buffer, size, result, error))
FORKMEND_LIBC_CALL(hostent*, gethostbyname2, (const char* name, int family), (name, family))
FORKMEND_LIBC_RESOLVER(int, gethostbyname2_r,
                       (const char* name, int family, hostent* into, char* buffer, size_t size,
                        hostent** result, int* error),
                       (name, family, into, buffer, size, result, error))
FORKMEND_LIBC_CALL(hostent*, gethostbyaddr,
                   (const void* address, socklen_t address_size, int family),
                   (address, address_size, family))
FORKMEND_LIBC_RESOLVER(int, gethostbyaddr_r,
                       (const void* address, socklen_t address_size, int family, hostent* into,
                        char* buffer, size_t size, hostent** result, int* error),
                       (address, address_size, family, into, buffer, size, result, error))
FORKMEND_LIBC_CALL(hostent*, gethostent, (), ())
FORKMEND_LIBC_CALL(int, gethostent_r,
                   (hostent * into, char* buffer, size_t size, hostent** result, int* error),
                   (into, buffer, size, result, error))
FORKMEND_LIBC_CALL(void, sethostent, (int stay_open), (stay_open))
FORKMEND_LIBC_CALL(void, endhostent, (), ())
FORKMEND_LIBC_CALL(netent*, getnetbyname, (const char* name), (name))
FORKMEND_LIBC_CALL(int, getnetbyname_r,
                   (const char* name, netent* into, char* buffer, size_t size, netent** result,
                    int* error),
                   (name, into, buffer, size, result, error))
FORKMEND_LIBC_CALL(netent*, getnetbyaddr, (uint32_t net, int family), (net, family))
FORKMEND_LIBC_CALL(int, getnetbyaddr_r,
                   (uint32_t net, int family, netent* into, char* buffer, size_t size,
                    netent** result, int* error),
                   (net, family, into, buffer, size, result, error))
FORKMEND_LIBC_CALL(netent*, getnetent, (), ())
FORKMEND_LIBC_CALL(int, getnetent_r,
                   (netent * into, char* buffer, size_t size, netent** result, int* error),
                   (into, buffer, size, result, error))
FORKMEND_LIBC_CALL(void, setnetent, (int stay_open), (stay_open))
FORKMEND_LIBC_CALL(void, endnetent, (), ())
FORKMEND_LIBC_CALL(int, setnetgrent, (const char* name), (name))
FORKMEND_LIBC_CALL(void, endnetgrent, (), ())
FORKMEND_LIBC_CALL(int, innetgr,
                   (const char* group, const char* host, const char* user, const char* domain),
                   (group, host, user, domain))

// Services, protocols, mail aliases.
#undef FORKMEND_LIBC_LOCK
#define FORKMEND_LIBC_LOCK "services and protocols"
FORKMEND_LIBC_CALL(servent*, getservbyname, (const char* name, const char* protocol),
                   (name, protocol))
FORKMEND_LIBC_CALL(int, getservbyname_r,
                   (const char* name, const char* protocol, servent* into, char* buffer,
                    size_t size, servent** result),
                   (name, protocol, into, buffer, size, result))
FORKMEND_LIBC_CALL(servent*, getservbyport, (int port, const char* protocol), (port, protocol))
FORKMEND_LIBC_CALL(int, getservbyport_r,
                   (int port, const char* protocol, servent* into, char* buffer, size_t size,
                    servent** result),
                   (port, protocol, into, buffer, size, result))
FORKMEND_LIBC_CALL(servent*, getservent, (), ())
FORKMEND_LIBC_CALL(int, getservent_r, (servent * into, char* buffer, size_t size, servent** result),
                   (into, buffer, size, result))
FORKMEND_LIBC_CALL(void, setservent, (int stay_open), (stay_open))
FORKMEND_LIBC_CALL(void, endservent, (), ())
FORKMEND_LIBC_CALL(protoent*, getprotobyname, (const char* name), (name))
FORKMEND_LIBC_CALL(int, getprotobyname_r,
                   (const char* name, protoent* into, char* buffer, size_t size, protoent** result),
                   (name, into, buffer, size, result))
FORKMEND_LIBC_CALL(protoent*, getprotobynumber, (int number), (number))
FORKMEND_LIBC_CALL(int, getprotobynumber_r,
                   (int number, protoent* into, char* buffer, size_t size, protoent** result),
                   (number, into, buffer, size, result))
FORKMEND_LIBC_CALL(protoent*, getprotoent, (), ())
FORKMEND_LIBC_CALL(int, getprotoent_r,
                   (protoent * into, char* buffer, size_t size, protoent** result),
                   (into, buffer, size, result))
FORKMEND_LIBC_CALL(void, setprotoent, (int stay_open), (stay_open))
FORKMEND_LIBC_CALL(void, endprotoent, (), ())
FORKMEND_LIBC_CALL(aliasent*, getaliasbyname, (const char* name), (name))
FORKMEND_LIBC_CALL(int, getaliasbyname_r,
                   (const char* name, aliasent* into, char* buffer, size_t size, aliasent** result),
                   (name, into, buffer, size, result))

// Who is logged in.
#undef FORKMEND_LIBC_LOCK
#define FORKMEND_LIBC_LOCK "who is logged in"
FORKMEND_LIBC_CALL(void, setutent, (), ())
#define FORKMEND_REWIND_UT(call) real_setutent.get()()
FORKMEND_LIBC_CALL(utmp*, getutent, (), ())
FORKMEND_LIBC_CALL(utmp*, getutid, (const utmp* entry), (entry))
FORKMEND_LIBC_CALL(utmp*, getutline, (const utmp* entry), (entry))
FORKMEND_LIBC_CALL_TRIED_BY(FORKMEND_REWIND_UT, utmp*, pututline, (const utmp* entry), (entry))
FORKMEND_LIBC_CALL(void, endutent, (), ())
FORKMEND_LIBC_CALL(void, setutxent, (), ())
#define FORKMEND_REWIND_UTX(call) real_setutxent.get()()
FORKMEND_LIBC_CALL(utmpx*, getutxent, (), ())
FORKMEND_LIBC_CALL(utmpx*, getutxid, (const utmpx* entry), (entry))
FORKMEND_LIBC_CALL(utmpx*, getutxline, (const utmpx* entry), (entry))
FORKMEND_LIBC_CALL_TRIED_BY(FORKMEND_REWIND_UTX, utmpx*, pututxline, (const utmpx* entry), (entry))
FORKMEND_LIBC_CALL(void, endutxent, (), ())
