// The modules of the phone app. `:app` takes part where an Android SDK is found: the others are plain
// Kotlin, which a machine without one builds and tests, too.
import java.util.Properties

rootProject.name = "hiertk-android"

dependencyResolutionManagement {
    repositoriesMode = RepositoriesMode.FAIL_ON_PROJECT_REPOS
    repositories {
        mavenCentral()
        if (androidSdkIsFound()) google()
    }
}

include(":core", ":learner-ort", ":learner-executorch")
if (androidSdkIsFound()) {
    include(":app")
} else {
    logger.warn("No Android SDK is found, so :app is left out: set ANDROID_HOME, or sdk.dir in local.properties.")
}

fun androidSdkIsFound(): Boolean {
    val properties = Properties()
    val file = rootDir.resolve("local.properties")
    if (file.isFile) file.inputStream().use(properties::load)
    val places = listOf(properties.getProperty("sdk.dir"), System.getenv("ANDROID_HOME"), System.getenv("ANDROID_SDK_ROOT"))
    return places.any { it != null && File(it).isDirectory }
}
