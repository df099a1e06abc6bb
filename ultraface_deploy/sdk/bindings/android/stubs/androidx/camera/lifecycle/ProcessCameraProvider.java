package androidx.camera.lifecycle;

import androidx.camera.core.CameraSelector;
import androidx.camera.core.UseCase;
import com.google.common.util.concurrent.ListenableFuture;

public final class ProcessCameraProvider {
    public static ListenableFuture<ProcessCameraProvider> getInstance(
            android.content.Context context) {
        return null;
    }

    public void unbindAll() {}

    public Object bindToLifecycle(
            androidx.lifecycle.LifecycleOwner owner, CameraSelector selector, UseCase... cases) {
        return null;
    }
}
