use std::{fs::File, io};

use crate::folder::FolderId;

/// Hears of changes in one directory, from the kernel.
#[derive(Debug)]
pub(crate) struct Notifier {
    #[cfg(target_os = "linux")]
    events: tokio::net::unix::pipe::Receiver,
    /// The directory, whatever is at its path by now.
    folder: FolderId,
}

impl Notifier {
    pub(crate) fn folder(&self) -> FolderId {
        self.folder
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsFd as _, AsRawFd as _};

    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    use tokio::net::unix::pipe::Receiver;

    use super::{File, FolderId, Notifier, io};

    /// What may change which files there are, what is in them, or who may write them.
    const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
        .union(AddWatchFlags::IN_CREATE)
        .union(AddWatchFlags::IN_MOVE)
        .union(AddWatchFlags::IN_DELETE)
        .union(AddWatchFlags::IN_ATTRIB)
        .union(AddWatchFlags::IN_MOVE_SELF)
        .union(AddWatchFlags::IN_DELETE_SELF);

    /// Room for at least one event with the longest name; less is an error (inotify(7)).
    const READ_BYTES: usize = 4096;

    impl Notifier {
        /// Listens to an opened directory. Needs a runtime around it.
        ///
        /// # Errors
        /// The kernel has no more instances or watches for this user.
        pub(crate) fn new(opened: &File, folder: FolderId) -> io::Result<Self> {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            // By its descriptor, so that it is the directory that was checked.
            let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
            inotify.add_watch(path.as_str(), CHANGES)?;
            // It is no pipe, but waited for and read as one, which is all that the runtime does with it.
            let events = File::from(inotify.as_fd().try_clone_to_owned()?);
            Ok(Self { events: Receiver::from_file_unchecked(events)?, folder })
        }

        /// Waits until something may have changed; takes in all that was heard until then. What it was is
        /// not looked at: the directory shows it.
        pub(crate) async fn changed(&self) {
            let mut events = [0; READ_BYTES];
            let mut has_heard = false;
            while !has_heard {
                if self.events.readable().await.is_err() {
                    // The runtime ends, and so does whoever waits here.
                    return std::future::pending().await;
                }
                loop {
                    match self.events.try_read(&mut events) {
                        Ok(1..) => has_heard = true,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Ok(0) | Err(_) => {
                            has_heard = true;
                            break;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Notifier {
    pub(crate) fn new(_opened: &File, _folder: FolderId) -> io::Result<Self> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    pub(crate) async fn changed(&self) {
        std::future::pending().await
    }
}
