//! Real memcached servers, started and ended by the tests.
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub(crate) struct Server {
    child: Mutex<Child>,
    pub(crate) port: u16,
    args: Vec<String>,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|a| a.to_string()).collect();
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(child) = spawn(port, &args) {
                return Server { child: Mutex::new(child), port, args };
            }
        }
        panic!("memcached could not be started");
    }
    /// One that answers no text: it is there when its port can be connected to.
    pub(crate) fn start_unprobed(args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|a| a.to_string()).collect();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("memcached")
            .args(["-l", "127.0.0.1", "-u", "nobody", "-p", &port.to_string()])
            .args(&args)
            .spawn()
            .expect("memcached is needed");
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(2));
        }
        Server { child: Mutex::new(child), port, args }
    }
    fn signal(&self, name: &str) {
        let pid = self.child.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
    pub(crate) fn restart(&self) {
        self.kill();
        for _ in 0..50 {
            if let Some(child) = spawn(self.port, &self.args) {
                *self.child.lock().unwrap() = child;
                return;
            }
        }
        panic!("restart");
    }
    pub(crate) fn say(&self, text: &str) -> String {
        let mut s = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        s.write_all(text.as_bytes()).unwrap();
        let mut b = [0; 4096];
        let n = s.read(&mut b).unwrap();
        String::from_utf8_lossy(&b[..n]).into_owned()
    }
}
impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16, args: &[String]) -> Option<Child> {
    let mut child = Command::new("memcached")
        .args(["-l", "127.0.0.1", "-u", "nobody", "-p", &port.to_string()])
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("memcached is needed: apt-get install memcached");
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if let Ok(mut s) = TcpStream::connect(("127.0.0.1", port)) {
            s.write_all(b"version\r\n").unwrap();
            let mut b = [0; 64];
            if s.read(&mut b).is_ok_and(|n| n > 0) {
                return Some(child);
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
